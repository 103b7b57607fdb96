"""Call a function for each change, with one thread for all watches.

    python docs/examples/callbacks.py PATH...

Ends when a node /callbacks/stop appears.
"""

import argparse
import threading

from pyxs import Client, ConnectionError


class Callbacks:
    """Calls a function for each event of a watch, in a thread of its own."""

    def __init__(self, client):
        self._monitor = client.monitor()
        self._functions = {}
        self._thread = threading.Thread(target=self._run)

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self._monitor.close()  # ends the loop
        if self._thread.ident is not None:
            self._thread.join()

    def add(self, path, function):
        """Call ``function(path)`` at once, and whenever something at or below *path* changes."""
        token = str(len(self._functions))
        self._functions[token] = function  # before the first event can come
        self._monitor.watch(path, token)
        if self._thread.ident is None:
            self._thread.start()  # now there is a watch to wait for

    def _run(self):
        try:
            for event in self._monitor:
                self._functions[event.token](event.path)
        except ConnectionError:
            pass  # closed, or the daemon is gone


def main():
    parser = argparse.ArgumentParser(description="print what changes")
    parser.add_argument("paths", nargs="+", metavar="PATH")
    paths = parser.parse_args().paths
    with Client() as client, Callbacks(client) as callbacks:

        def show(path):
            print("{} = {!r}".format(path, client.get(path)), flush=True)

        for path in paths:
            callbacks.add(path, show)
        client.wait_for("/callbacks/stop")


if __name__ == "__main__":
    main()
