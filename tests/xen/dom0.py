"""What ``run`` runs in dom0: each part in a process of its own, beside the guest.

A part that has ended prints its output and a line ``XEN-PART name passed|FAILED: counts``.
"""

import os
import shlex
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
# Emulated, a request takes milliseconds, and a switch between threads ten. So left out
# here is what takes thousands of requests or has many threads, of which test_xenbus.py
# has its own, and what is refused before it gets to any connection.
LEFT_OUT = [
    "12_threads",
    "3000_nodes",
    "500",
    "700_transactions",
    "a_value_comes_back_as_text",
    "bad_item",
    "counter_that_many_threads",
    "ends_with_nul",
    "events_keep_the_order",
    "execute_command_refuses",
    "goes_to_one_of_the_threads",
    "large_values",
    "letters",
    "long_list_is",
    "malformed",
    "matters_to_one_daemon",
    "number_of_attempts",
    "permissions_come_back",
    "result_has_the_order",
    "seen_together",
    "that_is_no_number",
    "that_is_none",
    "threads_get_the_errors",
    "threads_may_mix",
    "threads_with_transactions",
    "waits_while_others",
]
OPTIONS = ["-q", "-p", "no:cacheprovider", "--timeout", "120"]
OPTIONS += ["--ignore", "tests/conformance/test_differences.py"]
OPTIONS += ["-k", "not ({})".format(" or ".join(LEFT_OUT))]


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
    words += ["python3", "-m", "pytest"] + [shlex.quote(option) for option in OPTIONS]
    words += ["tests/conformance", "tests/xen/test_xenbus.py", "tests/xen/test_guest.py"]
    # A guest's quota holds the whole node to 2048 bytes, not only its value.
    words += ["--deselect", "'tests/conformance/test_nodes.py::test_a_long_value_comes_back'"]
    return subprocess.call(["guest", "start", "tests", " ".join(words)]) or subprocess.call(
        ["guest", "finish", "tests", "600"]
    )


def run_on_socket():
    return run_pytest({"PYXS_CONFORMANCE": "{}@socket:{}".format(KIND, SOCKET)}, "conformance")


def run_on_device(device):
    return run_pytest(over_device(device), "conformance", "xen/test_xenbus.py")


def run_dom0():
    return run_pytest({}, "xen/test_dom0.py")


PARTS = [
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


def finish(name, pid, output):
    """Wait until the child has ended, and print what it printed and how it went."""
    status = os.waitpid(pid, 0)[1]
    with open(output) as file:
        text = file.read()
    print("== {}: {}".format(os.environ["XENSTORED"], name))
    print(text, end="")
    last = text.splitlines()[-1] if text else "no output"
    print("XEN-PART {} {}: {}".format(name, "FAILED" if status else "passed", last), flush=True)


def main():
    os.environ.update(ENVIRON)
    guest = start(run_guest) if KIND == "c" else None
    for name, function in PARTS:
        finish(name, *start(function))
    if guest is not None:
        finish("guest", *guest)


if __name__ == "__main__":
    main()
