"""Watch nodes in an asyncio program.

    python docs/examples/async_watch.py PATH

Prints each change below PATH, and ends when PATH/done appears.
"""

import argparse
import asyncio
import contextlib

from pyxs import Client


@contextlib.contextmanager
def events_of(monitor, loop):
    """Yield a queue of the events of a monitor. An exception in the queue is its last item."""
    queue = asyncio.Queue()

    def take():
        try:
            event = monitor.check()
            while event is not None:
                queue.put_nowait(event)
                event = monitor.check()
        except Exception as exc:  # the connection is lost
            loop.remove_reader(fd)
            queue.put_nowait(exc)

    fd = monitor.fileno()
    loop.add_reader(fd, take)
    try:
        yield queue
    finally:
        loop.remove_reader(fd)


async def show_changes(client, path):
    loop = asyncio.get_event_loop()
    with client.monitor(path) as monitor, events_of(monitor, loop) as queue:
        while True:
            event = await queue.get()
            if isinstance(event, Exception):
                raise event
            # A request waits for its reply; in a thread it does not block the loop.
            value = await loop.run_in_executor(None, client.get, event.path)
            print("{} = {!r}".format(event.path, value), flush=True)
            if event.path == path + "/done":
                return


def main():
    parser = argparse.ArgumentParser(description="print what changes")
    parser.add_argument("path", metavar="PATH")
    path = parser.parse_args().path
    with Client() as client:
        loop = asyncio.new_event_loop()
        try:
            loop.run_until_complete(show_changes(client, path))
        finally:
            loop.close()


if __name__ == "__main__":
    main()
