"""The rows of the table: a job of pyxs, and the job that it is compared with."""

from typing import NamedTuple, Tuple


class Row(NamedTuple):
    """A job, and the ratio that it must reach.

    Every peer that has the job does it *rounds* times, *units* each time. If a row
    compares pyxs with pyxs, no other peer takes part.
    """

    work: str
    job: str
    units: int
    rounds: int
    bar: float
    aim: float
    beside: str = "C extension"
    beside_job: str = ""  # empty: the same job
    beside_units: int = 0  # 0: as many
    figure: str = "wall"  # the time that the ratio compares: "wall" or "cpu"
    trees: Tuple[int, ...] = ()  # trees that the store must hold, by their number of nodes
    #: The daemon and all peers share one CPU; for jobs of single calls. A call takes three
    #: times as long for a peer that the scheduler puts on another CPU than the daemon.
    one_cpu: bool = False


ROWS = [
    Row("read", "read", 50, 120, 1.05, 1.00, one_cpu=True),
    Row("read, on any CPU", "read", 50, 120, 1.12, 1.00),
    Row("read: CPU time", "read", 50, 120, 1.35, 1.10, figure="cpu", one_cpu=True),
    Row("read, beside the limit", "read", 50, 120, 1.15, 1.05, "bare loop", one_cpu=True),
    Row("read, beside the limit, on any CPU", "read", 50, 120, 1.30, 1.15, "bare loop"),
    Row(
        "read, beside the limit: CPU time",
        *("read", 50, 120, 1.35, 1.20, "bare loop"),
        figure="cpu",
        one_cpu=True,
    ),
    Row(
        "read, beside the limit, on any CPU: CPU time",
        *("read", 50, 120, 1.50, 1.30, "bare loop"),
        figure="cpu",
    ),
    Row("xs.read, beside the limit", "xs_read", 50, 120, 1.25, 1.10, "bare loop", one_cpu=True),
    Row("xs.read, beside the limit, on any CPU", "xs_read", 50, 120, 2.60, 1.20, "bare loop"),
    Row("read of 2,000 bytes", "read_long", 50, 120, 1.08, 1.00, one_cpu=True),
    Row("write", "write", 50, 120, 1.05, 1.00, one_cpu=True),
    Row("ls", "ls", 50, 120, 1.05, 1.00, one_cpu=True),
    Row("xs.read", "xs_read", 50, 120, 1.15, 1.02, one_cpu=True),
    Row(
        "transaction: start, read, write, commit", "transaction", 12, 120, 1.08, 1.00, one_cpu=True
    ),
    Row("read_many, beside reads", "read_many", 1000, 15, 0.30, 0.15),
    Row("write_many, beside writes", "write_many", 1000, 15, 0.35, 0.20),
    Row("write to wait() in another process", "event", 25, 120, 1.20, 0.95, one_cpu=True),
    Row(
        "write to wait() in another process: CPU time",
        *("event", 25, 120, 1.95, 1.10),
        figure="cpu",
        one_cpu=True,
    ),
    Row("8 threads, beside 1", "read_in_threads", 800, 25, 0.70, 0.50, "pyxs", "read"),
    Row(
        "8 threads, beside 1: CPU time",
        *("read_in_threads", 800, 25, 2.00, 1.50, "pyxs", "read"),
        figure="cpu",
    ),
    Row(
        "import pyxs, beside the modules it uses",
        *("import_pyxs", 1, 40, 1.75, 1.10, "pyxs", "import_standard"),
    ),
    Row(
        "the command in one file, beside installed",
        *("command_zipapp", 1, 40, 2.9, 1.3, "pyxs", "command"),
        figure="cpu",
    ),
    Row(
        "pyxs read, beside python -c pass",
        *("command_read", 1, 40, 3.0, 2.4, "pyxs", "python_pass"),
        figure="cpu",
    ),
    Row("walk", "walk", 12801, 9, 0.30, 0.14, "C tools", trees=(12801,)),
    Row(
        "walk(topdown=False), beside walk",
        *("walk_bottom_up", 12801, 9, 1.3, 1.0, "pyxs", "walk"),
        trees=(12801,),
    ),
    Row(
        "walk of 100,000 nodes, beside 10,000",
        *("walk", 100000, 5, 1.15, 1.0, "pyxs", "walk", 10000),
        trees=(100000, 10000),
    ),
    Row(
        "dump of 100,000 nodes, beside walk",
        *("dump", 100000, 5, 1.8, 1.2, "pyxs", "walk"),
        trees=(100000,),
    ),
]
