"""Counts what a read executes, on any machine: ``python tests/benchmarks/instructions.py``.

It counts the calls of Python functions and the bytecodes of one ``Client.read`` over a connected
socket, including the call of ``read`` itself and its first bytecode.
"""

import sys

from pyxs import Client
from pyxs.xenstored import XenStored


def count(function, *args):
    """Return how many calls of Python functions and how many bytecodes *function* makes."""
    counted = {"call": 0, "opcode": 0}

    def trace(frame, event, arg):
        if event in counted:
            counted[event] += 1
        frame.f_trace = trace  # 3.12 and later read it when f_trace_opcodes is set
        frame.f_trace_lines = False
        frame.f_trace_opcodes = True
        return trace

    old = sys.gettrace()
    sys.settrace(trace)
    try:
        function(*args)
    finally:
        sys.settrace(old)
    return counted["call"], counted["opcode"]


def of_a_read():
    """Return the calls and the bytecodes of one read."""
    with XenStored() as daemon, Client(daemon.path) as client:
        client.write("/key", "value")
        client.read("/key")
        return count(client.read, "/key")


if __name__ == "__main__":
    print("a read: {} calls, {} bytecodes".format(*of_a_read()))
