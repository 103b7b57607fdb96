"""The process of one peer: it runs jobs and answers with their times.

``python worker.py PEER`` reads lines of JSON on standard input, such as ``["read", 100]``, and
answers each with a line such as ``[0.0051, 0.0021]``: the seconds of wall and of CPU time. CPU
time is user and system time, also of finished child processes, or ``null`` if it has no meaning.
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
    # A job must not collect the garbage of another; it collects its own as in any program.
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
