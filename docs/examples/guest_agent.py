"""A guest agent: answers control/shutdown and publishes facts under data/.

    python guest_agent.py                   # in a guest, over XenBus
    python guest_agent.py --socket PATH     # over a socket, to try it out

Paths are relative: the daemon puts the guest's own /local/domain/<domid> before them.
The agent only prints a request; with --act it also acts on it.
"""

import argparse
import os
import platform
import subprocess
import time

from pyxs import Client
from pyxs.connection import XenBusConnection

COMMANDS = {
    "poweroff": ["systemctl", "poweroff"],
    "halt": ["systemctl", "halt"],
    "reboot": ["systemctl", "reboot"],
}
ANNOUNCED = ("poweroff", "reboot")  # libxl lets a guest write the nodes of these


def facts():
    """Return the nodes that the agent publishes, as ``(path, value)``."""
    pages = os.sysconf("SC_PHYS_PAGES") * (os.sysconf("SC_PAGE_SIZE") // 1024)
    return [
        ("data/hostname", platform.node()),
        ("data/os_name", platform.system()),
        ("data/os_uname", platform.release()),
        ("data/meminfo_total", pages),
        ("data/updated", time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())),
    ]


def publish(client):
    """Write the facts in one transaction: a reader sees all of them or none."""
    client.run_transaction(lambda t: t.write_many(facts()))


def take_request(client):
    """Return the request in control/shutdown, or ``None``, and acknowledge it.

    The toolstack waits until the node is empty. In a transaction, no request is lost
    between the read and the write.
    """

    def take(t):
        request = t.read("control/shutdown", default="")
        if request:
            t.write("control/shutdown", "")
        return request or None

    return client.run_transaction(take)


def serve(client, act, interval):
    """Publish every *interval* seconds until a request comes; call *act* with the request."""
    with client.monitor("control/shutdown") as monitor:
        client.write_many([("control/feature-" + name, "1") for name in ANNOUNCED])
        request = None
        while request is None:
            publish(client)
            monitor.wait(timeout=interval)
            request = take_request(client)
    act(request)


def main():
    parser = argparse.ArgumentParser(description="a guest agent")
    parser.add_argument("--socket", metavar="PATH", help="a daemon's socket instead of XenBus")
    parser.add_argument("--act", action="store_true", help="do what is asked for")
    parser.add_argument("--interval", type=float, default=60, metavar="SECONDS")
    args = parser.parse_args()

    def act(request):
        print("asked for {}".format(request), flush=True)
        if args.act and request in COMMANDS:
            subprocess.run(COMMANDS[request], check=True)

    client = Client(args.socket) if args.socket else Client(connection=XenBusConnection())
    with client:
        serve(client, act, args.interval)


if __name__ == "__main__":
    main()
