"""The subcommands of ``pyxs`` that read and change nodes, and ``pyxs control``.

Each takes a client and the parsed arguments. It prints what the ``xenstore-*`` program of
Xen 4.17 prints, and fails when that fails.
"""

import errno
import os

from ..exceptions import PyXSError
from ..helpers import encode_text, validate_perms
from .console import CommandError, reason, show, take, warn
from .format import TreeFormat, escape, unescape

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Callable, Iterable, Iterator, List, Optional, Sequence, Tuple

    from ..client import Client

__all__ = [
    "about",
    "chmod",
    "control",
    "encoded",
    "exists",
    "list_",
    "ls",
    "mkdir",
    "read",
    "rm",
    "unescaped",
    "write",
]

#: The permissions that may stand without a domid, as in C; they are for domain 0.
_LETTERS = ("n", "r", "w", "b")


# -- subcommands that use a transaction for several nodes ----------------------------------


def read(client: "Client", args: "argparse.Namespace") -> None:
    def body(store: "Client") -> "Iterator[bytes]":
        for path in args.paths:
            with about("couldn't read path " + path):
                value = encoded(store.read(path))
            prefix = encoded(path) + b": " if args.prefix else b""
            yield prefix + (value if args.raw else escape(value, args.utf8) + b"\n")

    _print_output(client, body, len(args.paths) > 1)


def write(client: "Client", args: "argparse.Namespace") -> None:
    pairs = [(path, _value(text, args.raw)) for path, text in args.pairs]

    def body(store: "Client") -> "Iterable[bytes]":
        for path, value in pairs:
            with about("could not write path " + path):
                store.write(path, value)
        return ()

    _print_output(client, body, len(pairs) > 1)


def _value(text: "Optional[str]", raw: bool) -> bytes:
    if text is None:
        return take()
    return os.fsencode(text) if raw else unescaped(text)


def unescaped(text: str) -> bytes:
    """Return the value that an argument denotes, with its escapes decoded.

    :raises CommandError: a backslash ends the argument.
    """
    data = os.fsencode(text)
    try:
        return unescape(data)
    except ValueError as exc:
        raise CommandError("{}: {}".format(text, exc)) from None


def list_(client: "Client", args: "argparse.Namespace") -> None:
    def body(store: "Client") -> "Iterator[bytes]":
        for path in args.paths:
            with about("could not list path " + path):
                names = store.ls(path)
            # For the root this gives "//name", as in C.
            prefix = path + "/" if args.prefix else ""
            yield from (encoded(prefix + name) + b"\n" for name in names)

    _print_output(client, body, len(args.paths) > 1)


def mkdir(client: "Client", args: "argparse.Namespace") -> None:
    _for_each(client, args.paths, lambda store, path: store.mkdir(path))


def exists(client: "Client", args: "argparse.Namespace") -> None:
    def must_exist(store: "Client", path: str) -> None:
        if not store.exists(path):
            raise SystemExit(1)

    _for_each(client, args.paths, must_exist)


def _for_each(
    client: "Client", paths: "Sequence[str]", act: "Callable[[Client, str], None]"
) -> None:
    def body(store: "Client") -> "Iterable[bytes]":
        for path in paths:
            with about(path):
                act(store, path)
        return ()

    _print_output(client, body, len(paths) > 1)


def rm(client: "Client", args: "argparse.Namespace") -> None:
    def body(store: "Client") -> "Iterable[bytes]":
        for path in args.paths:
            with about("could not remove path " + path):
                store.rm(path)
            if args.tidy:
                _rm_empty(store, _ancestors(path))
        return ()

    _print_output(client, body, args.tidy or len(args.paths) > 1)


def _rm_empty(store: "Client", paths: "Iterable[str]") -> None:
    """Remove nodes, up to the first that has a value or a child or cannot be removed."""
    for path in paths:
        try:
            if store.read(path) or store.ls(path):
                return
            store.rm(path)
        except PyXSError as exc:
            if not exc.is_answer:
                raise
            return


def chmod(client: "Client", args: "argparse.Namespace") -> None:
    if args.upto and not args.path.startswith("/"):
        raise CommandError("{}: -u needs a path that begins with '/'".format(args.path))
    if args.recurse and args.path == "/":
        raise CommandError("/: -r may not change the whole store")

    perms = [perm + "0" if perm in _LETTERS else perm for perm in args.perms]
    with about("Invalid permission specification"):
        validate_perms(perms)

    def body(store: "Client") -> "Iterable[bytes]":
        below = _subtree(store, args.path) if args.recurse else [args.path]
        above = _ancestors(args.path) if args.upto else []
        for paths in (below, above):
            for path in paths:
                with about("Error occurred setting permissions on '{}'".format(path)):
                    store.set_permissions(path, perms)
        return ()

    _print_output(client, body, args.upto or args.recurse)


def _subtree(store: "Client", top: str) -> "Iterator[str]":
    pending = [top]
    while pending:
        path = pending.pop()
        yield path
        with about("could not list path " + path):
            pending += (path + "/" + name for name in store.ls(path))


def _ancestors(path: str) -> "Iterator[str]":
    """Yield the paths of the ancestors of *path*, the nearest first, without the root."""
    path = path.rpartition("/")[0]
    while path:
        yield path
        path = path.rpartition("/")[0]


def _print_output(
    client: "Client", body: "Callable[[Client], Iterable[bytes]]", several: bool
) -> None:
    """Run *body* and print the lines that it yields, also those before an error.

    :param several: whether to run it in a transaction, which starts over after ``EAGAIN``.
    """
    lines: List[bytes] = []
    transaction = about("couldn't start transaction")

    def attempt(store: "Client") -> None:
        transaction.what = "couldn't end transaction"
        del lines[:]
        for line in body(store):
            lines.append(line)

    try:
        if several:
            with transaction:
                client.run_transaction(attempt)
        else:
            attempt(client)
    finally:
        show(b"".join(lines))


# -- subcommands that use no transaction ---------------------------------------------------


def ls(client: "Client", args: "argparse.Namespace") -> None:
    layout = TreeFormat(_terminal_columns(), args.flat, args.utf8)
    for top in args.paths or ["/"]:
        with about("xs_directory ({})".format(top)):
            pending = _children(0, top, client.ls(top))
        # Not walk(), which yields "" for a value that may not be read.
        while pending:
            depth, path = pending.pop()
            value = _value_if_readable(client, path)
            perms = _perms_if_readable(client, path, args.title) if args.perms else None
            show(layout.line(depth, encoded(path), value, perms))
            pending += _children(depth + 1, path, _names_if_there(client, path))


def _children(depth: int, path: str, names: "List[str]") -> "List[Tuple[int, str]]":
    """Return the paths of the children in reversed order, each with its depth."""
    prefix = path if path == "/" else path + "/"
    return [(depth, prefix + name) for name in reversed(names)]


def _names_if_there(client: "Client", path: str) -> "List[str]":
    with about("xs_directory ({})".format(path)):
        try:
            return client.ls(path)
        except PyXSError as exc:
            if exc.errno == errno.ENOENT:  # removed since its parent was listed
                return []
            raise


def _value_if_readable(client: "Client", path: str) -> "Optional[bytes]":
    try:
        return encoded(client.read(path))
    except PyXSError as exc:
        if not exc.is_answer:
            raise
        return None


def _perms_if_readable(client: "Client", path: str, title: str) -> "List[bytes]":
    try:
        return [encoded(perm) for perm in client.get_permissions(path)]
    except PyXSError as exc:
        if not exc.is_answer:
            raise
        warn("{}: could not access permissions for {}: {}".format(title, path, exc.strerror))
        return []


def _terminal_columns() -> "Optional[int]":
    try:
        return os.get_terminal_size(1).columns
    except OSError:
        return None  # the standard output is not a terminal


def control(client: "Client", args: "argparse.Namespace") -> None:
    if args.words[0] == "live-update":
        from .live_update import live_update

        live_update(client, args.words[1:], args.title + " live-update")
        return
    words = " ".join(args.words)
    try:
        reply = client.control(*args.words)
    except PyXSError as exc:
        if not exc.is_answer:
            raise
        if exc.errno == errno.EINVAL:
            message = "Command not supported: {}; see 'pyxs control help'".format(words)
        else:
            message = "Error {} when trying to execute command: {}: {}".format(
                exc.errno, words, reason(exc)
            )
        raise CommandError(message) from exc
    if reply:
        show(encoded(reply) + b"\n")


# -- text ----------------------------------------------------------------------------------


def encoded(text: str) -> bytes:
    """Return text from the client as the bytes that the daemon sent."""
    return encode_text(text, "text")


class about:  # noqa: N801  # importing contextlib takes a command too long
    """A context that turns a refused request into a ``CommandError``.

    :param what: the begin of the message. Programs look for what the C programs print, so it
        is the same; the reason follows.
    """

    def __init__(self, what: str) -> None:
        self.what = what

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, exc: "Optional[BaseException]", _traceback: object) -> None:
        if isinstance(exc, PyXSError) and not isinstance(exc, ConnectionError):
            raise CommandError("{}: {}".format(self.what, reason(exc))) from exc
