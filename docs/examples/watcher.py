"""Print changes, in a select loop that also handles signals.

    python docs/examples/watcher.py PATH...

Ends at SIGINT or SIGTERM. With --idle SECONDS it prints a line when no event comes for so long.
"""

import argparse
import signal
import socket
from selectors import EVENT_READ, DefaultSelector

from pyxs import Client


def ending_signals():
    """Return a socket that becomes readable when SIGINT or SIGTERM arrives."""
    ours, python = socket.socketpair()
    python.setblocking(False)
    signal.set_wakeup_fd(python.detach())
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_args: None)
    return ours


def show_changes(monitor, client):
    """Print all events that there are, without waiting for more."""
    event = monitor.check()
    while event is not None:
        print("{} = {!r}".format(event.path, client.get(event.path)), flush=True)
        event = monitor.check()


def main():
    parser = argparse.ArgumentParser(description="print what changes")
    parser.add_argument("paths", nargs="+", metavar="PATH")
    parser.add_argument("--idle", type=float, metavar="SECONDS")
    args = parser.parse_args()

    with Client() as client, client.monitor(*args.paths) as monitor, DefaultSelector() as selector:
        selector.register(monitor.fileno(), EVENT_READ, "store")
        with ending_signals() as signals:
            selector.register(signals, EVENT_READ, "signal")
            while True:
                ready = {key.data for key, _ in selector.select(args.idle)}
                if "signal" in ready:
                    return
                if "store" in ready:
                    show_changes(monitor, client)
                else:
                    print("nothing for {:g} s".format(args.idle), flush=True)


if __name__ == "__main__":
    main()
