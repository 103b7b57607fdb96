"""The subcommands of ``pyxs`` that read and change nodes, and ``pyxs control``.

Each takes a client and the parsed arguments. It prints what the ``xenstore-*`` program
prints, and fails when that fails.
"""

import errno
import os

from ..connection import Op
from ..exceptions import ConnectionError, PyXSError
from ..helpers import decode_text, encode_text, validate_perms
from .console import CommandError, about, reason, show, shows_utf8, take, warn
from .format import escape, unescape
from .many import answers, is_hidden, is_missing, is_pattern, names, payload

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Callable, Dict, Iterable, Iterator, List, Optional, Tuple

    from ..client import Client
    from .many import Answer

__all__ = [
    "about",
    "chmod",
    "control",
    "encoded",
    "exists",
    "list_",
    "mkdir",
    "perms",
    "read",
    "rm",
    "unescaped",
    "write",
]

#: The permissions that may stand without a domid, as in C; they are for domain 0.
_LETTERS = ("n", "r", "w", "b")
_SPECIAL = ("@introduceDomain", "@releaseDomain")


# -- subcommands that use a transaction for several nodes ----------------------------------


def read(client: "Client", args: "argparse.Namespace") -> None:
    args.utf8 = args.utf8 or shows_utf8()

    def body(store: "Client") -> "Iterator[bytes]":
        for path, answer in _answers(store, Op.READ, args.paths):
            with about("couldn't read path " + path):
                value = payload(answer)
            yield _value_line(path, value, args)

    _print_output(client, body, _several(args.paths))


def _value_line(path: str, value: bytes, args: "argparse.Namespace") -> bytes:
    if args.json:
        from .as_json import json_line, json_value

        return json_line(path=path, value=json_value(value))
    prefix = encoded(path) + b": " if args.prefix else b""
    return prefix + (value if args.raw else escape(value, args.utf8) + b"\n")


def write(client: "Client", args: "argparse.Namespace") -> None:
    pairs = [(path, _value(text, args.raw)) for path, text in args.pairs]

    def body(store: "Client") -> "Iterator[bytes]":
        return _done("could not write path {}", answers(store, Op.WRITE, pairs))

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
        for path, answer in _answers(store, Op.DIRECTORY, args.paths):
            with about("could not list path " + path):
                found = names(store, path, answer)
            yield from _name_lines(path, found, args)

    _print_output(client, body, _several(args.paths))


def _name_lines(path: str, found: "List[bytes]", args: "argparse.Namespace") -> "Iterable[bytes]":
    if args.json:
        from .as_json import json_line

        return [json_line(path=path, children=[decode_text(name) for name in found])]
    prefix = b""
    if args.prefix:
        prefix = b"/" if path == "/" else encoded(path) + b"/"
    return [prefix + name + b"\n" for name in found]


def perms(client: "Client", args: "argparse.Namespace") -> None:
    def body(store: "Client") -> "Iterator[bytes]":
        for path, answer in _answers(store, Op.GET_PERMS, args.paths):
            with about(path):
                found = payload(answer)[:-1].split(b"\0")
            if args.json:
                from .as_json import json_line

                yield json_line(path=path, perms=[decode_text(perm) for perm in found])
            else:
                prefix = encoded(path) + b": " if args.prefix else b""
                yield prefix + b" ".join(found) + b"\n"

    _print_output(client, body, _several(args.paths))


def mkdir(client: "Client", args: "argparse.Namespace") -> None:
    def body(store: "Client") -> "Iterator[bytes]":
        return _done("{}", answers(store, Op.MKDIR, _alone(args.paths)))

    _print_output(client, body, len(args.paths) > 1)


def exists(client: "Client", args: "argparse.Namespace") -> int:
    found: Dict[str, bool] = {}

    def body(store: "Client") -> "Iterator[bytes]":
        found.clear()
        found.update(_found(store, args.paths))
        if args.json:
            from .as_json import json_line

            yield from (json_line(path=path, exists=exists) for path, exists in found.items())

    _print_output(client, body, _several(args.paths))
    return 0 if all(found.values()) else 1


def _found(store: "Client", paths: "List[str]") -> "Iterator[Tuple[str, bool]]":
    """Yield whether each node exists; a pattern that nothing matches does not."""
    if any(map(is_pattern, paths)):
        from .patterns import matching

        for path in paths:
            if is_pattern(path):
                with about(path):
                    found = matching(store, path)
                yield from [(each, True) for each in found] or [(path, False)]
            else:
                yield from _found(store, [path])
        return
    for path, answer in answers(store, Op.READ, _alone(paths)):
        missing = is_missing(answer)
        if not missing:
            with about(path):
                payload(answer)
        yield path, not missing


def rm(client: "Client", args: "argparse.Namespace") -> None:
    def body(store: "Client") -> "Iterator[bytes]":
        if not args.tidy:
            return _removed(store, args.paths)
        for path in args.paths:
            _removed(store, [path])
            _rm_empty(store, _ancestors(path))
        return iter(())

    _print_output(client, body, args.tidy or len(args.paths) > 1)


def _removed(store: "Client", paths: "List[str]") -> "Iterator[bytes]":
    return _done("could not remove path {}", answers(store, Op.RM, _alone(paths)))


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
        owner = int(validate_perms(perms)[0][1:])

    def body(store: "Client") -> "Iterator[bytes]":
        below, refused = _subtree(store, args.path) if args.recurse else ([args.path], None)
        above = _ancestors(args.path) if args.upto and refused is None else ()
        arguments = [(path, perms) for path in (*below, *above)]
        phrase = "Error occurred setting permissions on '{}'"
        _done(phrase, answers(store, Op.SET_PERMS, arguments))
        if refused is not None:
            with about("could not list path " + below[-1]):
                raise refused
        return iter(())

    _print_output(client, body, args.upto or args.recurse)
    if args.path in _SPECIAL and owner != 0:
        warn(
            "{}: warning: xenstored 4.20 and 4.22.0 crash when domain {} is released, because it "
            "owns {}; domain 0 can own it".format(args.title, owner, args.path)
        )


def _subtree(store: "Client", top: str) -> "Tuple[List[str], Optional[PyXSError]]":
    """Return the paths of a node and all below it, up to one that the daemon refuses to list.

    :returns: the paths, and why the last one was refused.
    """
    from .tree import tree

    paths: List[str] = []
    try:
        for node in tree(store, top, ()):
            paths.append(decode_text(node.path))
    except PyXSError as exc:
        if isinstance(exc, ConnectionError) or not paths:
            raise
        return paths, exc
    return paths, None


def _ancestors(path: str) -> "Iterator[str]":
    """Yield the paths of the ancestors of *path*, the nearest first, without the root."""
    path = path.rpartition("/")[0]
    while path:
        yield path
        path = path.rpartition("/")[0]


def _print_output(
    client: "Client", body: "Callable[[Client], Iterator[bytes]]", several: bool
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


def _several(paths: "List[str]") -> bool:
    return len(paths) > 1 or is_pattern(paths[0])


def _answers(store: "Client", op: "Op", paths: "List[str]") -> "Iterator[Tuple[str, Answer]]":
    """Send a request for each node; yield its path and the answer.

    Of what a pattern has found, the nodes that this domain may not read are left out, and those
    that were removed since.
    """
    if not any(map(is_pattern, paths)):
        yield from answers(store, op, _alone(paths))
        return
    from .patterns import expanded

    for path, answer in answers(store, op, _alone(expanded(store, paths))):
        if path in paths or not is_hidden(answer):
            yield path, answer


def _alone(paths: "List[str]") -> "List[Tuple[str]]":
    """Return the arguments of requests that have a path only."""
    return [(path,) for path in paths]


def _done(phrase: str, all_answers: "Iterable[Tuple[str, Answer]]") -> "Iterator[bytes]":
    """Check that no request was refused; there is nothing to print.

    :param phrase: the begin of the message about a path.
    :raises CommandError: one was.
    """
    for path, answer in all_answers:
        with about(phrase.format(path)):
            payload(answer)
    return iter(())


# -- subcommands that use no transaction ---------------------------------------------------


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
            message = "Command not supported: {}; see '{} help'".format(words, args.title)
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
