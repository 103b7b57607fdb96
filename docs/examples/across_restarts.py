"""Print the value of a node at first and after each change, also when xenstored restarts.

python docs/examples/across_restarts.py /local/domain/1/memory/target
"""

import argparse
import sys
import time

from pyxs import Client, ConnectionError

PAUSE = 0.5  # seconds before it tries to connect again


def values(client, path):
    """Yield the value of a node, or None, at first and after each change."""
    while True:
        try:
            with client.monitor(path) as monitor:
                for _ in monitor:
                    yield client.get(path)
        except ConnectionError as error:
            print(error, file=sys.stderr)
            time.sleep(PAUSE)


def main():
    parser = argparse.ArgumentParser(description="print the values of a node")
    parser.add_argument("path", metavar="PATH")
    path = parser.parse_args().path
    with Client() as client:
        last = object()
        for value in values(client, path):
            if value != last:
                print(value, flush=True)
            last = value


if __name__ == "__main__":
    main()
