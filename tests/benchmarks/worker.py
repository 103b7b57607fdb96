"""The process that one peer runs in: takes a job and a number of units, answers with seconds.

``python worker.py PEER`` reads lines of JSON on standard input, such as ``["read", 100]``, and
answers each with a line such as ``[0.0051, 0.0021]``: wall time, and CPU time (user and
system, that of finished child processes too), or ``null`` where it would tell nothing.
"""

import gc
import json
import resource
import sys
import time

from peers import PEERS


def serve(peer):
    for line in sys.stdin:
        job, units = json.loads(line)
        print(json.dumps(measure(getattr(peer, job), units)), flush=True)


def measure(job, units):
    # No job pays for another's garbage; what it makes itself is collected as in any program.
    gc.collect()
    gc.freeze()
    cpu, wall = _cpu_seconds(), time.perf_counter()
    seconds = job(units)
    wall, cpu = time.perf_counter() - wall, _cpu_seconds() - cpu
    if seconds is None:
        return wall, cpu
    return seconds if isinstance(seconds, tuple) else (seconds, None)


def _cpu_seconds():
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


if __name__ == "__main__":
    serve(PEERS[sys.argv[1]]())
