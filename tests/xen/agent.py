"""The agent in the guest that ``test_dom0.py`` boots: it answers values that dom0 writes."""

import pyxs

DEVICE = "/dev/xen/xenbus"


def main():
    client = pyxs.Client(xen_bus_path=DEVICE)
    monitor = pyxs.monitor(xen_bus_path=DEVICE)
    monitor.watch("control/shutdown")
    monitor.watch("data/question")
    client.write("data/ready", "yes")
    for event in monitor:
        value = client.read(event.path, default="")
        if event.path == "data/question" and value:
            client.write("data/answer", value.upper())
        # The kernel answers "poweroff" and some other requests itself.
        if event.path == "control/shutdown" and value == "s3":
            client.write("control/shutdown", "")


if __name__ == "__main__":
    main()
