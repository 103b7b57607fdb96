"""Patterns of paths: ``*``, ``?`` and ``[...]`` stand for characters of one name."""

import fnmatch

from ..connection import Op
from ..helpers import decode_text, validate_path
from .console import CommandError, about
from .many import answers, is_hidden, is_missing, is_pattern, names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, List, Tuple

    from ..client import Client

__all__ = ["expanded", "fixed_part", "levels", "matching", "may_concern"]


def expanded(client: "Client", paths: "List[str]") -> "List[str]":
    """Return paths, with the nodes that match in place of each pattern.

    :raises CommandError: no node matches a pattern.
    """
    found: List[str] = []
    for path in paths:
        with about(path):
            matched = matching(client, path) if is_pattern(path) else [path]
        if not matched:
            raise CommandError("{}: no node matches this pattern".format(path))
        found += matched
    return found


def matching(client: "Client", pattern: str) -> "List[str]":
    """Return the nodes that match a pattern, as far as this domain may list them.

    They are in the order in which the daemon lists them.
    """
    top, wanted = _parts(pattern)
    found = [top]
    for name in wanted:
        if is_pattern(name):
            found = list(_children(client, found, top, name))
        else:
            found = [path + "/" + name for path in found]
    if is_pattern(wanted[-1]):
        return found
    return [
        path
        for path, answer in answers(client, Op.READ, [(path,) for path in found])
        if not is_hidden(answer)
    ]


def fixed_part(pattern: str) -> str:
    """Return the path above the first name that has a wildcard.

    :raises InvalidPath: the pattern would be no valid path, whatever stood for the wildcards.
    :raises CommandError: there is none.
    """
    top, _rest = _parts(pattern)
    return top


def levels(pattern: str) -> int:
    """Return how many levels below :func:`fixed_part` the nodes are that match a pattern."""
    return len(_parts(pattern)[1])


def may_concern(pattern: str, path: str) -> bool:
    """Return whether a path matches a pattern, or is above or below a path that does."""
    return all(
        fnmatch.fnmatchcase(name, wanted)
        for name, wanted in zip(path.split("/"), pattern.split("/"))
    )


def _parts(pattern: str) -> "Tuple[str, List[str]]":
    """Return the fixed part of a pattern, and the names after it."""
    parts = pattern.split("/")
    # Checks all but the wildcards, which no path has.
    validate_path("/".join("_" if is_pattern(part) else part for part in parts))
    first = next(at for at, part in enumerate(parts) if is_pattern(part))
    if first == 0:
        raise CommandError("{}: a pattern begins with '/' or a whole name".format(pattern))
    return "/".join(parts[:first]) or "/", parts[first:]


def _children(client: "Client", paths: "List[str]", top: str, wanted: str) -> "Iterator[str]":
    for path, answer in answers(client, Op.DIRECTORY, [(path,) for path in paths]):
        if is_missing(answer) or (path != top and is_hidden(answer)):
            continue
        above = "/" if path == "/" else path + "/"
        for name in map(decode_text, names(client, path, answer)):
            if fnmatch.fnmatchcase(name, wanted):
                yield above + name
