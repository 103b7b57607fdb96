"""The peers and their jobs, written as users of each peer would write them.

A job does a number of units of work: calls, keys, nodes or events. A job that measures the time
itself returns seconds, or seconds of wall and of CPU time. A peer has no method for a job that
it cannot do.
"""

import atexit
import functools
import os
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

from store import DIRECTORY, KEY, LONG_KEY, TRANSACTION_KEY, many_keys, tree, watched_key

VALUE = "y" * 20
HEADER = struct.Struct("=4I")  # struct xsd_sockmsg of xs_wire.h: type, req_id, tx_id, len
READ = 2  # XS_READ
THREADS = 8


class Pyxs:
    """This project."""

    name = "pyxs"

    def __init__(self):
        import pyxs

        self.client = pyxs.Client(os.environ["XENSTORED_PATH"])

    def read(self, calls):
        client = self.client
        for _ in range(calls):
            client.read(KEY)

    def read_long(self, calls):
        client = self.client
        for _ in range(calls):
            client.read(LONG_KEY)

    def write(self, calls):
        client = self.client
        for _ in range(calls):
            client.write(KEY, VALUE)

    def ls(self, calls):
        client = self.client
        for _ in range(calls):
            client.ls(DIRECTORY)

    def xs_read(self, calls):
        handle = drop_in()
        for _ in range(calls):
            handle.read("", KEY)

    def transaction(self, transactions):
        client = self.client
        for _ in range(transactions):
            with client.transaction() as t:
                t.read(TRANSACTION_KEY)
                t.write(TRANSACTION_KEY, VALUE)

    def read_many(self, keys):
        self.client.read_many(many_keys(keys))

    def write_many(self, keys):
        self.client.write_many(dict.fromkeys(many_keys(keys), VALUE))

    def walk(self, nodes):
        expect(sum(1 for _node in self.client.walk(tree(nodes))), nodes)

    def walk_bottom_up(self, nodes):
        expect(sum(1 for _node in self.client.walk(tree(nodes), topdown=False)), nodes)

    def dump(self, nodes):
        from pyxs import snapshot

        # One line more than there are nodes: the closing brace.
        expect(sum(1 for _line in snapshot.lines(self.client, [tree(nodes)])) - 1, nodes)

    def command_read(self, times):
        for _ in range(times):
            run(sys.executable, "-c", _COMMAND, "read", KEY)

    def python_pass(self, times):
        for _ in range(times):
            run(sys.executable, "-c", "pass")

    def read_in_threads(self, calls):
        in_threads(self.read, calls)

    def import_pyxs(self, times):
        return import_seconds(["pyxs"], times)

    def import_standard(self, times):
        return import_seconds(standard_modules(), times)

    def command(self, times):
        for _ in range(times):
            run(sys.executable, "-m", "pyxs", "--version")

    def command_zipapp(self, times):
        for _ in range(times):
            run(sys.executable, zipapp(), "--version")

    def event(self, events):
        key = watched_key(self.name)
        return event_seconds(self.name, lambda: self.client.write(key, VALUE), events)

    def watch(self):
        monitor = self.client.monitor()
        monitor.watch(watched_key(self.name), "token")
        return monitor.wait


class Before(Pyxs):
    """This project at an earlier revision."""

    name = "before"


class CExtension:
    """``xen.lowlevel.xs``: libxenstore in Python."""

    def __init__(self):
        from xen.lowlevel.xs import xs

        self.handle = xs()

    def read(self, calls):
        handle = self.handle
        for _ in range(calls):
            handle.read("", KEY)

    xs_read = read

    def read_long(self, calls):
        handle = self.handle
        for _ in range(calls):
            handle.read("", LONG_KEY)

    def write(self, calls):
        handle = self.handle
        for _ in range(calls):
            handle.write("", KEY, VALUE)

    def ls(self, calls):
        handle = self.handle
        for _ in range(calls):
            handle.ls("", DIRECTORY)

    def transaction(self, transactions):
        handle = self.handle
        for _ in range(transactions):
            t = handle.transaction_start()
            handle.read(t, TRANSACTION_KEY)
            handle.write(t, TRANSACTION_KEY, VALUE)
            handle.transaction_end(t)

    def read_many(self, keys):
        handle = self.handle
        for path in many_keys(keys):
            handle.read("", path)

    def write_many(self, keys):
        handle = self.handle
        for path in many_keys(keys):
            handle.write("", path, VALUE)

    def walk(self, nodes):
        expect(self._walk(tree(nodes)), nodes)

    def _walk(self, path):
        self.handle.read("", path)
        names = self.handle.ls("", path)
        return 1 + sum(self._walk(path + "/" + name) for name in names)

    def event(self, events):
        key = watched_key("C extension")
        return event_seconds("C extension", lambda: self.handle.write("", key, VALUE), events)

    def watch(self):
        self.handle.watch(watched_key("C extension"), "token")
        return self.handle.read_watch


class OldPyxs:
    """pyxs 0.4.1, whose paths, values and tokens are bytes."""

    key = KEY.encode()
    long_key = LONG_KEY.encode()
    directory = DIRECTORY.encode()
    transaction_key = TRANSACTION_KEY.encode()
    watched_key = watched_key("pyxs 0.4.1").encode()
    value = VALUE.encode()

    def __init__(self):
        import pyxs

        self.client = pyxs.Client(unix_socket_path=os.environ["XENSTORED_PATH"])
        self.client.connect()
        self.handle = pyxs.xs()

    def read(self, calls):
        client, key = self.client, self.key
        for _ in range(calls):
            client.read(key)

    def read_long(self, calls):
        client, key = self.client, self.long_key
        for _ in range(calls):
            client.read(key)

    def write(self, calls):
        client, key, value = self.client, self.key, self.value
        for _ in range(calls):
            client.write(key, value)

    def ls(self, calls):
        client, directory = self.client, self.directory
        for _ in range(calls):
            client.list(directory)

    def xs_read(self, calls):
        handle, key = self.handle, self.key
        for _ in range(calls):
            handle.read(b"0", key)

    def transaction(self, transactions):
        client = self.client
        for _ in range(transactions):
            client.transaction()
            client.read(self.transaction_key)
            client.write(self.transaction_key, self.value)
            client.commit()

    def read_many(self, keys):
        for path in many_keys(keys):
            self.client.read(path.encode())

    def write_many(self, keys):
        for path in many_keys(keys):
            self.client.write(path.encode(), self.value)

    def walk(self, nodes):
        expect(sum(1 for _node in self.client.walk(tree(nodes).encode())), nodes)

    def walk_bottom_up(self, nodes):
        walk = self.client.walk(tree(nodes).encode(), topdown=False)
        expect(sum(1 for _node in walk), nodes)

    def read_in_threads(self, calls):
        in_threads(self.read, calls)

    def event(self, events):
        return event_seconds(
            "pyxs 0.4.1", lambda: self.client.write(self.watched_key, self.value), events
        )

    def watch(self):
        monitor = self.client.monitor()
        monitor.watch(self.watched_key, b"token")
        return monitor.wait().__next__


class CTools:
    """``xenstore-read`` and the like: one process for each call, or for a whole batch."""

    def read(self, calls):
        for _ in range(calls):
            run("xenstore-read", KEY)

    def read_long(self, calls):
        for _ in range(calls):
            run("xenstore-read", LONG_KEY)

    def write(self, calls):
        for _ in range(calls):
            run("xenstore-write", KEY, VALUE)

    def ls(self, calls):
        for _ in range(calls):
            run("xenstore-list", DIRECTORY)

    def read_many(self, keys):
        run("xenstore-read", *many_keys(keys))

    def write_many(self, keys):
        run("xenstore-write", *(word for path in many_keys(keys) for word in (path, VALUE)))

    def walk(self, nodes):
        run("xenstore-ls", "-f", tree(nodes))


class BareLoop:
    """``send`` and ``recv`` on a socket, and nothing else: the least that Python can do."""

    def __init__(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(os.environ["XENSTORED_PATH"])

    def read(self, calls):
        send, recv, key = self.sock.send, self.sock.recv, KEY.encode() + b"\0"
        for number in range(calls):
            send(HEADER.pack(READ, number, 0, len(key)) + key)
            reply = recv(65536)
            size = HEADER.unpack_from(reply)[3]
            while len(reply) < HEADER.size + size:
                reply += recv(65536)
            reply[HEADER.size :].decode()

    xs_read = read


PEERS = {
    "pyxs": Pyxs,
    "before": Before,
    "bare loop": BareLoop,
    "C extension": CExtension,
    "pyxs 0.4.1": OldPyxs,
    "C tools": CTools,
}


@functools.lru_cache(maxsize=None)
def drop_in():
    import pyxs

    return pyxs.xs()


@functools.lru_cache(maxsize=None)
def zipapp():
    """Return the path of a new ``pyxs.pyz``, which goes when this process ends."""
    import pyxs

    directory = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, directory)
    package = os.path.dirname(pyxs.__file__)
    shutil.copytree(package, directory + "/pyxs")
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    # That of another revision is beside its package.
    packaging = os.path.join(os.path.dirname(package), "packaging")
    if not os.path.exists(packaging):
        packaging = os.path.join(root, "packaging")
    shutil.copytree(packaging, directory + "/packaging")
    for name in ("LICENSE", "LICENSE.GPL"):
        shutil.copy(os.path.join(root, name), directory)
    run(directory + "/packaging/zipapp", directory + "/pyxs.pyz")
    return directory + "/pyxs.pyz"


def run(*command):
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)


def expect(found, nodes):
    if found != nodes:
        raise AssertionError("the walk found {} of {} nodes".format(found, nodes))


def in_threads(job, calls):
    threads = [threading.Thread(target=job, args=(calls // THREADS,)) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def event_seconds(peer, write, events):
    """Return the seconds from each write until another process has its event, and the seconds of
    CPU time that the other process spends waiting.
    """
    watcher = _watcher(peer)
    wall = cpu = 0.0
    for _ in range(events):
        start = time.perf_counter()
        write()
        arrived, used = map(float, watcher.stdout.readline().split())
        wall += arrived - start
        cpu += used
    return wall, cpu


@functools.lru_cache(maxsize=None)
def _watcher(peer):
    watcher = subprocess.Popen(
        [sys.executable, __file__, peer], stdout=subprocess.PIPE, universal_newlines=True
    )
    atexit.register(watcher.terminate)
    watcher.stdout.readline()  # the first event of the watch
    return watcher


def watch(peer):
    """Print when each event came, and the CPU time of the wait for it.

    All processes share the clock of perf_counter.
    """
    wait = PEERS[peer]().watch()
    while True:
        cpu = time.process_time()
        wait()
        arrived = time.perf_counter()
        print(arrived, time.process_time() - cpu, flush=True)


#: What the installed ``pyxs`` does; at earlier revisions there was only ``main()``.
_COMMAND = "from pyxs import cli; getattr(cli, 'command', cli.main)()"

# os counts as bare: site imports it, and only -S leaves site out.
_IMPORT = """
import os, sys, time
sys.path.append(sys.argv[1])
start = time.perf_counter()
for name in sys.argv[2:]:
    __import__(name)
print(time.perf_counter() - start)
print(*sys.modules)
"""


def import_seconds(modules, times):
    """Return the seconds to import *modules* in bare interpreters, without their start."""
    return sum(float(_import(modules)[0]) for _ in range(times))


@functools.lru_cache(maxsize=None)
def standard_modules():
    """Return the standard modules that ``import pyxs`` imports into a bare interpreter."""
    bare = _import([])[1].split()
    return [
        name
        for name in _import(["pyxs"])[1].split()
        if name not in bare and not name.startswith("pyxs")
    ]


def _import(modules):
    import pyxs

    root = os.path.dirname(os.path.dirname(pyxs.__file__))
    command = [sys.executable, "-I", "-S", "-c", _IMPORT, root]
    return subprocess.check_output(command + modules, universal_newlines=True).splitlines()


if __name__ == "__main__":
    watch(sys.argv[1])
