"""What a read costs whatever the machine: ``python tests/benchmarks/instructions.py``.

Counted are the calls of Python functions and the bytecodes that one ``Client.read`` executes
over a socket when the connection is there; its own call and its first bytecode are among them.
"""

import sys

from pyxs import Client
from pyxs.xenstored import XenStored


def count(function, *args):
    """Return how many Python functions *function*, itself one, calls, and how many bytecodes."""
    counted = {"call": 0, "opcode": 0}

    def trace(frame, event, arg):
        if event in counted:
            counted[event] += 1
        frame.f_trace = trace  # 3.12 and later look at it when the next is set
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
