"""What the error that a daemon answers means, for each request."""

from ..exceptions import PyXSError, QuotaExceeded
from ..helpers import decode_text, error
from .packets import Op
from .requests import path_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, Optional, Tuple, Type

_AGAIN = "another client changed a node of the transaction: start over, as run_transaction() does"
_NOT_INTRODUCED = "this domain is not introduced"
_NO_DOMAIN = "there is no such domain"
_NO_QUOTA = "there is no such quota"
_QUOTA = "over a quota of the daemon for this domain"
_NODES = ": too many nodes, or too large a node (its value, permissions and children's names)"

#: By the errno and the request.
_MEANINGS: "Dict[Tuple[str, int], str]" = {
    ("EAGAIN", Op.TRANSACTION_END): _AGAIN,
    ("ENOENT", Op.TRANSACTION_END): "the daemon had ended the transaction before; what was read in "
    "it since then may be wrong",
    ("ENOENT", Op.UNWATCH): "there is no watch of this path with this token",
    ("ENOENT", Op.RELEASE): _NOT_INTRODUCED,
    ("EINVAL", Op.RELEASE): _NOT_INTRODUCED + ", or it owns the root of the store",
    ("ENOENT", Op.RESUME): _NOT_INTRODUCED,
    ("EINVAL", Op.RESUME): _NOT_INTRODUCED + ", or it is domain 0",
    ("ENOENT", Op.SET_TARGET): "one of these domains is not introduced",
    ("ENOENT", Op.GET_FEATURE): _NO_DOMAIN,
    ("ENOENT", Op.SET_FEATURE): _NO_DOMAIN,
    ("EINVAL", Op.SET_FEATURE): "this daemon does not have all of these features",
    ("ENOENT", Op.GET_QUOTA): _NO_DOMAIN,
    ("EINVAL", Op.GET_QUOTA): _NO_QUOTA + "; without a name, all are listed",
    ("ENOENT", Op.SET_QUOTA): _NO_DOMAIN,
    ("EINVAL", Op.SET_QUOTA): _NO_QUOTA + ", or it cannot have this value",
    ("EINVAL", Op.CONTROL): "the daemon has no such command, or it takes other arguments; "
    "the command 'help' lists them",
    ("ENOSPC", Op.WRITE): _QUOTA + _NODES,
    ("ENOSPC", Op.MKDIR): _QUOTA + _NODES,
    ("ENOSPC", Op.SET_PERMS): _QUOTA + ": too many permissions, or nodes of the owner",
    ("ENOSPC", Op.WATCH): _QUOTA + ": too many watches",
    ("ENOSPC", Op.TRANSACTION_START): _QUOTA + ": too many transactions are running",
    ("ENOSPC", Op.TRANSACTION_END): _QUOTA + _NODES,
    ("ENOMEM", Op.TRANSACTION_END): "over several quotas, or the daemon is out of memory",
    ("E2BIG", Op.WRITE): "too long a value for a quota of the daemon",
    ("E2BIG", Op.WATCH): _QUOTA + ": too many watches",
    ("E2BIG", Op.DIRECTORY): "the names do not fit into one reply, and this daemon sends no parts",
    ("EBUSY", Op.TRANSACTION_START): _QUOTA + ": too many transactions are running",
    ("EBUSY", Op.SET_FEATURE): "a domain has to be introduced after its features are set",
}

#: Where the request makes the errno another kind of error than helpers.error() takes it for.
_KINDS: "Dict[Tuple[str, int], Type[PyXSError]]" = {
    ("E2BIG", Op.WRITE): QuotaExceeded,
    ("E2BIG", Op.WATCH): QuotaExceeded,
    ("EBUSY", Op.TRANSACTION_START): QuotaExceeded,
    ("ENOENT", Op.UNWATCH): PyXSError,  # the watch is missing, not the node
    ("ENOENT", Op.TRANSACTION_END): PyXSError,
    ("EAGAIN", Op.CONTROL): PyXSError,
}


def refusal(op: int, payload: bytes, answer: bytes) -> PyXSError:
    """Return the exception for an error that the daemon answers.

    :param payload: of the request.
    :param answer: the name of the errno.
    """
    key = answer.decode("latin-1"), op
    why = _MEANINGS.get(key)
    if key == ("ENOENT", Op.SET_PERMS):
        why = _owner_may_be_missing(payload)
    if key == ("EINVAL", Op.WATCH) and payload.count(b"\0") > 2:
        why = "a daemon before Xen 4.22 has no depth of watches"
    exc = error(answer, path_of(op, payload), why)
    kind = _KINDS.get(key)
    return exc if kind is None else kind(*exc.args, path=exc.path, why=exc.why)


def _owner_may_be_missing(payload: bytes) -> "Optional[str]":
    """Return a hint unless the owner in a SET_PERMS is dom0, which always exists."""
    owner = payload.split(b"\0")[1]
    return None if int(owner[1:]) == 0 else "or " + _no_owner(owner)


def _no_owner(perm: bytes) -> str:
    return "there is no domain {} to own it".format(perm[1:].decode("ascii"))


def missing_owner(path: bytes, perm: bytes) -> PyXSError:
    """Return the exception for ``ENOENT`` where the node is known to exist.

    :param perm: the first permission, which names the owner.
    """
    exc = error("ENOENT", why=_no_owner(perm))
    exc.path = decode_text(path)
    return exc
