"""Print a part of the store as a tree.

python docs/examples/tree.py [PATH]
"""

import argparse

from pyxs import Client


def tree(client, top):
    """Yield the lines of the tree under *top*."""
    base = top.rstrip("/").count("/")
    for path, value, children in client.walk(top):
        children.sort()
        depth = path.rstrip("/").count("/") - base
        name = path.rpartition("/")[2] if depth else path
        shown = " = " + value.encode("unicode_escape").decode("ascii") if value else ""
        yield "    " * depth + name + shown


def main():
    parser = argparse.ArgumentParser(description="print a part of the store as a tree")
    parser.add_argument("path", nargs="?", default="/")
    args = parser.parse_args()
    with Client() as client:
        for line in tree(client, args.path):
            print(line)


if __name__ == "__main__":
    main()
