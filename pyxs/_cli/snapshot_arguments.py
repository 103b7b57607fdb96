"""The arguments of ``pyxs dump`` and ``pyxs load``."""

from .parsers import add_on_store, add_paths
from .run import on_store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["add_dump", "add_load"]


def add_dump(subcommands: "Any") -> None:
    """Add the parser of ``pyxs dump``."""
    dump = add_on_store(
        subcommands,
        "dump",
        "print nodes and all nodes below them as JSON, with values and permissions",
        "pyxs dump /local/domain/1 > guest.json",
        on_store("snapshots", "dump"),
    )
    add_paths(dump, "*", "a node; by default the root")


def add_load(subcommands: "Any") -> None:
    """Add the parser of ``pyxs load``."""
    load = add_on_store(
        subcommands,
        "load",
        "write the nodes of a file that 'pyxs dump' printed, with their permissions",
        "pyxs load --dry-run guest.json",
        on_store("snapshots", "load"),
    )
    load.add_argument(
        "--dry-run",
        action="store_true",
        help="write nothing; print the nodes that would change, as 'pyxs ls -fp' does, with '-' "
        "before what they are now and '+' before what they would be",
    )
    load.add_argument(
        "--replace",
        action="store_true",
        help="also remove the nodes below those of the file that are not in it, and write only "
        "what differs",
    )
    load.add_argument("file", metavar="FILE", nargs="?", help="by default standard input")
