"""Measures pyxs and its peers on one real daemon.

::

    python tests/benchmarks [--short] [--any-cpu] [--before REVISION] [--json FILE] [JOB ...]

The peers are a bare loop of ``send`` and ``recv`` in Python, which is the limit, the C extension
``xen.lowlevel.xs``, the C tools, pyxs 0.4.1 from the package index, and pyxs at an earlier revision
of this repository. Each peer runs in a process of its
own. All use the same C xenstored and the same interpreter: CPython 3.11, for which Debian builds
the C extension. The peers take turns in small slices, so that other load of the machine affects
all of them alike. A figure is the median over the slices. A ratio is the median of the ratios of
slices of the same turn. Each row also has the ratios of wall and of CPU time to the earlier
revision. A peer that is in no ratio shows the scale only, and skips most turns. In the rows of
single calls all processes share one CPU; with --any-cpu the scheduler chooses.

Needs Debian's gcc, libc6-dev, xen-utils-4.17 and xenstore-utils.
"""

import argparse
import contextlib
import glob
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile

import store
from peers import PEERS
from rows import ROWS

FIGURES = ("wall", "cpu")
SHOWN = [peer for peer in PEERS if peer != "before"]  # the peers with a column of their own

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.dirname(HERE))

import daemons  # noqa: E402

BEFORE = "39d1d8c"  # the last commit in which all threads of a client shared one connection
SCALE_TURNS = 5  # a peer that is in no ratio takes every fifth turn


class Worker:
    """The process of a peer; a context manager that ends it."""

    def __init__(self, peer, python, environ):
        self._peer = peer
        # Python compiles an installed package once, not at each start.
        environ = dict(environ)
        environ.pop("PYTHONDONTWRITEBYTECODE", None)
        self._process = subprocess.Popen(
            [python, os.path.join(HERE, "worker.py"), peer],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environ,
            cwd="/",  # python -c and -m import from the working directory first
            universal_newlines=True,
        )

    @property
    def pid(self):
        return self._process.pid

    def measure(self, job, units):
        """Return the seconds of wall and of CPU time per unit."""
        try:
            print(json.dumps([job, units]), file=self._process.stdin, flush=True)
            wall, cpu = json.loads(self._process.stdout.readline())
        except (BrokenPipeError, ValueError):
            raise SystemExit("{}: its process ended, see above".format(self._peer)) from None
        return {"wall": wall / units, "cpu": cpu and cpu / units}

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()


def main():
    arguments = parse()
    rows = [row for row in ROWS if not arguments.jobs or row.job in arguments.jobs]
    if arguments.short:
        rows = [shortened(row) for row in rows]
    results = []
    with contextlib.ExitStack() as stack:
        daemon = stack.enter_context(daemons.start("c"))
        workers = start_workers(daemon, arguments.before, stack)
        store.fill(daemon, store.singles(keys=1000))
        trees = set()
        print_heading()
        for row in rows:
            for nodes in set(row.trees) - trees:
                store.fill(daemon, store.guests(nodes))
            trees.update(row.trees)
            one_cpu = row.one_cpu and not arguments.any_cpu
            with on_one_cpu([daemon, *workers.values()]) if one_cpu else contextlib.nullcontext():
                results.append(run(row, workers))
            print_row(results[-1], judged=not arguments.short)
    if arguments.json:
        with open(arguments.json, "w") as file:
            json.dump({"python": platform.python_version(), "rows": results}, file, indent=1)


def parse():
    parser = argparse.ArgumentParser("python tests/benchmarks", description=__doc__.splitlines()[0])
    parser.add_argument("jobs", metavar="JOB", nargs="*", help="measure the rows of these only")
    parser.add_argument(
        "--short", action="store_true", help="see that everything works; the figures mean nothing"
    )
    parser.add_argument("--any-cpu", action="store_true", help="let single calls use all CPUs")
    parser.add_argument(
        "--before",
        metavar="REVISION",
        default=BEFORE,
        help="the revision of git to measure beside, or none (default: {})".format(BEFORE),
    )
    parser.add_argument("--json", metavar="FILE", help="write the results there too")
    arguments = parser.parse_args()
    unknown = set(arguments.jobs) - {row.job for row in ROWS}
    if unknown:
        parser.error("no row has the job {}".format(", ".join(sorted(unknown))))
    return arguments


@contextlib.contextmanager
def on_one_cpu(processes):
    """Keep processes, and those that they start, on one CPU for a while."""
    cpus = os.sched_getaffinity(0)
    for process in processes:
        os.sched_setaffinity(process.pid, {min(cpus)})
    try:
        yield
    finally:
        for process in processes:
            os.sched_setaffinity(process.pid, cpus)


def shortened(row):
    return row._replace(
        units=max(row.units // 20, 1),
        beside_units=row.beside_units // 20,
        trees=tuple(nodes // 20 for nodes in row.trees),
        rounds=2,
    )


def start_workers(daemon, before, stack):
    """Start every peer's process; *stack* ends them."""
    extension = glob.glob("/usr/lib/xen-*/lib/python")
    old_python = install_old_pyxs(stack.enter_context(tempfile.TemporaryDirectory()))
    environs = {
        "pyxs": dict(daemon.environ, PYTHONPATH=ROOT),
        "bare loop": daemon.environ,
        "C extension": dict(daemon.environ, PYTHONPATH=os.pathsep.join(extension)),
        "pyxs 0.4.1": daemon.environ,
        "C tools": daemon.environ,
    }
    if before != "none":
        directory = stack.enter_context(tempfile.TemporaryDirectory())
        extract(before, directory)
        environs["before"] = dict(daemon.environ, PYTHONPATH=directory)
    return {
        peer: stack.enter_context(
            Worker(peer, old_python if peer == "pyxs 0.4.1" else sys.executable, environ)
        )
        for peer, environ in environs.items()
    }


def extract(revision, directory):
    """Extract pyxs at a revision into a directory, and what makes one file of it."""
    archive = subprocess.Popen(
        ["git", "-C", ROOT, "archive", revision, "pyxs", "packaging"], stdout=subprocess.PIPE
    )
    subprocess.call(["tar", "-x", "-C", directory], stdin=archive.stdout)
    archive.stdout.close()
    if archive.wait() or not os.path.exists(os.path.join(directory, "pyxs", "__init__.py")):
        raise SystemExit(
            "revision {!r}: git cannot give it; name another with --before REVISION, or leave it "
            "out with --before none".format(revision)
        )


def install_old_pyxs(directory):
    """Return the Python of a new environment that has pyxs 0.4.1."""
    subprocess.check_call([sys.executable, "-m", "venv", directory])
    python = os.path.join(directory, "bin", "python")
    subprocess.check_call([python, "-m", "pip", "install", "--quiet", "pyxs==0.4.1"])
    return python


def run(row, workers):
    """Measure a row and return its results, ready for JSON."""
    subject = ("pyxs", row.job, row.units)
    beside = (row.beside, row.beside_job or row.job, row.beside_units or row.units)
    before = ("before", row.job, row.units)
    sides = [subject, beside]
    if row.beside != "pyxs":
        sides = [(peer, row.job, row.units) for peer in SHOWN if hasattr(PEERS[peer], row.job)]
    if "before" in workers and getattr(PEERS["before"], row.job):
        sides.append(before)
    slices = take_turns(sides, (subject, beside, before), row.rounds, workers)
    result = {
        "work": row.work,
        "job": row.job,
        "units": row.units,
        "peers": {
            side[0]: medians(slices[side])
            for side in sides
            if side[1:] == subject[1:] and side != before
        },
        "beside": dict(zip(("peer", "job", "units"), beside), **medians(slices[beside])),
        "figure": row.figure,
        "bar": row.bar,
        "aim": row.aim,
    }
    result.update(ratio(slices[subject], slices[beside], row.figure))
    if before in slices:
        result["before"] = dict(
            medians(slices[before]),
            **{
                "of {}".format(figure): ratio(slices[subject], slices[before], figure)
                for figure in FIGURES
            },
        )
    return result


def ratio(ours, theirs, figure):
    """Return the median of the ratios of slices of the same turn, and their quartiles."""
    if ours[0][figure] is None:
        return {"ratio": None, "quartiles": None}
    # The kernel counts CPU time in steps, so that a slice of one call may have none.
    ratios = [
        one[figure] / other[figure] for one, other in zip(ours, theirs) if other[figure] > 0
    ] or [float("nan")] * 2
    return {
        "ratio": statistics.median(ratios),
        "quartiles": statistics.quantiles(ratios, n=4)[::2],
    }


def take_turns(sides, rivals, rounds, workers):
    """Return each side's slices. The order alternates, so that no side is always first."""
    slices = {side: [] for side in sides}
    for side in sides:
        measure(side, workers)  # warms up
    for turn in range(rounds):
        for side in sides if turn % 2 else reversed(sides):
            if side in rivals or turn % SCALE_TURNS == 0:
                slices[side].append(measure(side, workers))
    return slices


def measure(side, workers):
    peer, job, units = side
    return workers[peer].measure(job, units)


def medians(slices):
    return {
        figure: None if slices[0][figure] is None else statistics.median(s[figure] for s in slices)
        for figure in FIGURES
    }


LINE = "{:42}" + "{:>14}" * len(SHOWN) + "{:>26}{:>8}{:>7}{:>7}  {:12}{:>14}{:>8}{:>8}"


def print_heading():
    print("Microseconds per unit, wall/CPU; a unit is one call, key, node or event.")
    before = ("before", "of wall", "of CPU")
    print(LINE.format("", *SHOWN, "beside", "ratio", "bar", "aim", "", *before), flush=True)


def print_row(result, judged):
    beside, before = result["beside"], result.get("before")
    if beside["peer"] == "pyxs":
        shown = "{} {}".format(beside["job"], cell(beside))
    else:
        shown = beside["peer"]
    print(
        LINE.format(
            result["work"],
            *(cell(result["peers"].get(peer)) for peer in SHOWN),
            shown,
            share(result["ratio"]),
            "{:.2f}".format(result["bar"]),
            "{:.2f}".format(result["aim"]),
            verdict(result) if judged else "",
            cell(before),
            *(share(before and before["of " + figure]["ratio"]) for figure in FIGURES),
        ),
        flush=True,
    )


def cell(figures):
    if figures is None:
        return "-"
    return "/".join(
        "-" if seconds is None else "{:.{}f}".format(seconds * 1e6, 1 if seconds < 1e-4 else 0)
        for seconds in (figures["wall"], figures["cpu"])
    )


def share(ratio):
    return "-" if ratio is None else "{:.2f}".format(ratio)


def verdict(result):
    if result["ratio"] <= result["aim"]:
        return "aim"
    return "bar" if result["ratio"] <= result["bar"] else "over the bar"


if __name__ == "__main__":
    main()
