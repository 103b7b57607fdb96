"""Runs programs on the C extension, in a process of the Python for which it was built.

It reads pickled programs from standard input, and writes the pickled list of outcomes of each
to standard output.
"""

import os
import pickle
import sys

sys.path[0] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

import xen_utils  # noqa: E402

# First in sys.path: tests/ has a package called xen too.
sys.path.insert(0, xen_utils.EXTENSION)

from xen.lowlevel.xs import Error, xs  # noqa: E402

from differential import programs  # noqa: E402

requests, replies = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
os.dup2(2, 1)  # anything that the extension prints goes to standard error
while True:
    try:
        program = pickle.load(requests)
    except EOFError:
        break
    programs.clean(xs, Error)
    pickle.dump(programs.run(program, xs, Error), replies, protocol=4)
    replies.flush()
