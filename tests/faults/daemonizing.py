"""A program that becomes a daemon; see test_daemonizers.py.

``python daemonizing.py SUBJECT THEN SOCKET LOG [without]`` uses SUBJECT, forks, closes all
descriptors in the child, opens LOG under the same numbers, and goes on as THEN says. ``without``
takes os.register_at_fork away, which Python 3.6 does not have.
"""

import gc
import os
import sys

if sys.argv[5:] and hasattr(os, "register_at_fork"):
    del os.register_at_fork

import pyxs

LINES = 24


def client(path):
    subject = pyxs.Client(path)
    subject.write("/a", "1")

    def use():
        assert subject.read("/a") == "1"

    return subject, use


def transaction(path):
    subject = pyxs.Client(path)
    subject.write("/a", "1")
    subject.transaction_start()

    def use():
        if os.getpid() == PARENT:
            subject.write("/a", "1")
            return
        try:
            subject.write("/a", "2")
        except pyxs.ConnectionError:
            return
        raise AssertionError("the transaction is the parent's")

    return subject, use


def monitor(path):
    subject = pyxs.monitor(path)
    subject.watch("/a", "t")
    subject.fileno()

    def use():
        try:
            subject.watch("/b", "t")
        except pyxs.PyXSError:
            assert os.getpid() == PARENT
        assert subject.wait(timeout=20) is not None
        subject.fileno()

    return subject, use


def xs(path):
    os.environ["XENSTORED_PATH"] = path
    subject = pyxs.xs()
    subject.write("", "/a", "1")
    subject.watch("/a", "t")
    subject.fileno()

    def use():
        assert subject.read("", "/a") == b"1"

    return subject, use


def child(subject, use, then, log):
    os.closerange(3, 256)
    descriptors = [os.open(log, os.O_CREAT | os.O_WRONLY | os.O_APPEND) for _ in range(LINES)]
    if then == "use":
        use()
    elif then == "close":
        subject.close()
    del subject, use
    gc.collect()
    for descriptor in descriptors:
        os.write(descriptor, b"a line\n")
    with open(log, "rb") as file:
        assert file.read() == b"a line\n" * LINES


PARENT = os.getpid()


def main(name, then, path, log):
    subject, use = globals()[name](path)
    pid = os.fork()
    if pid == 0:
        # The child has the only references.
        made = [subject, use]
        del subject, use
        child(made.pop(0), made.pop(), then, log)
        return
    _, status = os.waitpid(pid, 0)
    use()
    subject.close()
    raise SystemExit(status != 0)


if __name__ == "__main__":
    main(*sys.argv[1:5])
