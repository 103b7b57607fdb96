"""Write the store from a signal handler while the main program waits for events.

    python docs/examples/signals.py PATH

SIGHUP increments PATH/reloads. SIGTERM writes PATH/state and ends the program.
"""

import argparse
import signal

from pyxs import Client, ConnectionError


def main():
    parser = argparse.ArgumentParser(description="print what changes")
    parser.add_argument("path", metavar="PATH")
    path = parser.parse_args().path
    with Client() as client, client.monitor() as monitor:

        def reload(*_args):
            count = int(client.read(path + "/reloads", default="0"))
            client.write(path + "/reloads", count + 1)

        def end(*_args):
            client.write(path + "/state", "stopped")
            monitor.close()  # ends the loop below

        signal.signal(signal.SIGHUP, reload)
        signal.signal(signal.SIGTERM, end)
        monitor.watch(path)
        client.write(path + "/state", "running")
        try:
            for event in monitor:
                print(event.path, flush=True)
        except ConnectionError:
            if client.read(path + "/state") != "stopped":
                raise  # the daemon is gone


if __name__ == "__main__":
    main()
