"""A tour of pyxs: reads, writes, a transaction that meets a conflict, and a watch.

    pyxs run -- python docs/examples/tour.py        # on the in-memory daemon
    python docs/examples/tour.py                    # in dom0, on the real one

It writes below /pyxs-tour only, and removes that node at the end.
"""

import threading
import time

from pyxs import Client, PyXSError

TOP = "/pyxs-tour"

GUESTS = {
    "1/name": "web",
    "1/memory/target": "1048576",
    "1/device/vif/0/mac": "00:16:3e:00:00:01",
    "2/name": "database",
    "2/memory/target": "2097152",
    "2/device/vif/0/mac": "00:16:3e:00:00:02",
}


def heading(text):
    print("\n{}\n{}".format(text, "-" * len(text)))


def read_and_write(client):
    heading("Write two guests, read them back")
    client.write_many([("{}/{}".format(TOP, name), value) for name, value in GUESTS.items()])
    for path, value, _children in client.walk(TOP):
        indent = "    " * (path.count("/") - 1)
        print(indent + path.rpartition("/")[2] + (" = " + value if value else ""))

    print("\nread {}/1/name        -> {!r}".format(TOP, client[TOP + "/1/name"]))
    print("ls {}                 -> {!r}".format(TOP, client.ls(TOP)))
    client.set_permissions(TOP + "/1", ["n0", "r1"])
    print("get_permissions {}/1  -> {!r}".format(TOP, client.get_permissions(TOP + "/1")))
    try:
        client.read(TOP + "/3/name")
    except PyXSError as error:
        print("read {}/3/name        -> {}".format(TOP, error))


def move_memory(client, other):
    heading("Move 256 MiB from one guest to the other, while someone interferes")
    tries = []

    def move(t):
        tries.append(t.tx_id)
        web, database = (int(t[TOP + "/{}/memory/target".format(n)]) for n in (1, 2))
        print("try {}: web has {} KiB, database {} KiB".format(len(tries), web, database))
        if len(tries) == 1:
            other.write(TOP + "/2/memory/target", 3145728)
            print("       another client now gives the database 3145728 KiB")
        t[TOP + "/1/memory/target"] = web - 262144
        t[TOP + "/2/memory/target"] = database + 262144

    client.run_transaction(move)
    for n in (1, 2):
        path = "{}/{}/memory/target".format(TOP, n)
        print("{}  {}".format(path, client[path]))


def watch(client):
    heading("Watch, while a thread makes changes")

    def change():
        client.write(TOP + "/1/state", "running")
        client.rm(TOP + "/2")
        client.write(TOP + "/done", "")

    with client.monitor() as monitor:
        monitor.watch(TOP, "all of it")
        monitor.wait()  # a new watch reports its own path at once
        thread = threading.Thread(target=change)
        thread.start()
        for event in monitor:
            print("event {:<22} token {!r}".format(event.path, event.token))
            if event.path == TOP + "/done":
                break
        thread.join()


def read_many(client):
    heading("Read 1,000 nodes: one at a time, then without waiting for each answer")
    paths = ["{}/many/{}".format(TOP, n) for n in range(1000)]
    client.write_many([(path, "x") for path in paths])
    start = time.perf_counter()
    one_by_one = {path: client.read(path) for path in paths}
    between = time.perf_counter()
    at_once = client.read_many(paths)
    end = time.perf_counter()
    assert at_once == one_by_one
    print("read       {:6.1f} ms".format((between - start) * 1000))
    print("read_many  {:6.1f} ms".format((end - between) * 1000))


def main():
    with Client() as client, Client() as other:
        print("Connected to {}".format(client.connection.path))
        try:
            read_and_write(client)
            move_memory(client, other)
            watch(client)
            read_many(client)
        finally:
            client.rm(TOP)


if __name__ == "__main__":
    main()
