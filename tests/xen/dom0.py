"""What ``run`` runs in dom0: each part in a process of its own, all at once.

A part that has ended prints its output and a line ``XEN-PART name passed|FAILED: counts``.
"""

import os
import subprocess
import sys
import tempfile

import pytest

KIND = {"xenstored": "c", "oxenstored": "ocaml"}[os.environ["XENSTORED"]]
SOCKET = "/run/xenstored/socket"
DEVICES = ["/dev/xen/xenbus", "/proc/xen/xenbus"]
ENVIRON = {
    "PYXS_XENSTORED": KIND,
    # Emulated, and with all parts at once, everything takes its time.
    "PYXS_PATIENCE": "120",
}
OPTIONS = ["-q", "-p", "no:cacheprovider", "--timeout", "180"]


def over_device(device):
    return {
        "PYXS_XENBUS": device,
        "PYXS_CONFORMANCE": "{}@xenbus:{}".format(KIND, device),
    }


def run_pytest(environ, *files):
    os.environ.update(environ)
    return pytest.main(OPTIONS + ["tests/" + file for file in files])


def run_guest():
    environ = dict(ENVIRON, **over_device(DEVICES[0]))
    words = ["{}={}".format(*item) for item in environ.items()]
    words += ["python3", "-m", "pytest"] + OPTIONS
    words += ["tests/conformance", "tests/xen/test_xenbus.py", "tests/xen/test_guest.py"]
    return subprocess.call(["guest", "start", "tests", " ".join(words)]) or subprocess.call(
        ["guest", "finish", "tests"]
    )


def run_on_socket():
    return run_pytest({"PYXS_CONFORMANCE": "{}@socket:{}".format(KIND, SOCKET)}, "conformance")


def run_on_device(device):
    return run_pytest(over_device(device), "conformance", "xen/test_xenbus.py")


def run_dom0():
    return run_pytest({}, "xen/test_dom0.py")


PARTS = [
    ("guest", run_guest),
    ("socket", run_on_socket),
    ("dom0", run_dom0),
] + [(device, lambda device=device: run_on_device(device)) for device in DEVICES]


def start(function):
    """Call the function in a child process, which prints to a file; return its pid and that."""
    fd, output = tempfile.mkstemp()
    pid = os.fork()  # pytest is imported already, once for all
    if pid != 0:
        os.close(fd)
        return pid, output
    os.dup2(fd, 1)
    os.dup2(fd, 2)
    status = 70
    try:
        status = int(function())
    finally:
        sys.stdout.flush()
        os._exit(status)


def report(name, status, output):
    with open(output) as file:
        text = file.read()
    print("== {}: {}".format(os.environ["XENSTORED"], name))
    print(text, end="")
    last = text.splitlines()[-1] if text else "no output"
    print("XEN-PART {} {}: {}".format(name, "FAILED" if status else "passed", last), flush=True)


def main():
    os.environ.update(ENVIRON)
    running = {}
    for name, function in PARTS:
        pid, output = start(function)
        running[pid] = name, output
    while running:
        pid, status = os.wait()
        name, output = running.pop(pid)
        report(name, status, output)


if __name__ == "__main__":
    main()
