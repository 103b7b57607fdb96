"""Permissions of nodes, as *xenstore.txt* (GET_PERMS, SET_PERMS) defines them."""

import re
from typing import Iterable, NamedTuple, Optional, Tuple

from ._errors import Refused

DOM0 = 0
DOMID_FIRST_RESERVED = 0x7FF0  # xen.h: the domids of domains are lower
DOMID_SELF = 0x7FF0
DOMID_ANY = 0x7FF5

NONE = 0
READ = 1
WRITE = 2
OWN = 4
ALL = READ | WRITE | OWN

ANY_LIFE = -1

_LETTERS = {b"n": NONE, b"r": READ, b"w": WRITE, b"b": READ | WRITE}
_LETTER_OF = {rights: letter for letter, rights in _LETTERS.items()}
#: A letter, and a number as ``strtol`` takes it: in base 16, 8 or 10.
_ENTRY = re.compile(
    rb"([nrwb])[ \t\n\v\f\r]*([+-]?)(?:0[xX]([0-9a-fA-F]+)|(0[0-7]*)|([1-9][0-9]*))"
)


class Permission(NamedTuple):
    """One entry: the rights of a domain on a node."""

    domid: int
    rights: int  #: :data:`READ` and :data:`WRITE`, added
    #: Which domain of this domid is meant, see :attr:`~._domains.Domain.life`;
    #: :data:`ANY_LIFE`: each domain; ``None``: none.
    life: "Optional[int]" = None


#: The first entry names the owner, and the rights of all domains that have no entry.
Permissions = Tuple[Permission, ...]


def parse(entries: "Iterable[bytes]") -> Permissions:
    """Return the permissions that entries such as ``b"r5"`` denote.

    :raises Refused: ``EINVAL``: an entry is malformed.
    """
    return tuple(_parse_entry(entry) for entry in entries)


def _parse_entry(entry: bytes) -> Permission:
    match = _ENTRY.fullmatch(entry)
    if match is None:
        raise Refused("EINVAL")
    letter, sign, *numbers = match.groups()
    (domid,) = (int(sign + text, base) for text, base in zip(numbers, (16, 8, 10)) if text)
    return Permission(domid & 0xFFFFFFFF, _LETTERS[letter])


def render(perms: Permissions) -> bytes:
    """Return the payload of a reply to GET_PERMS."""
    return b"".join(b"%s%d\0" % (_LETTER_OF[entry.rights], _signed(entry)) for entry in perms)


def _signed(entry: Permission) -> int:
    """Return the domid as C prints it, a signed number of 32 bits."""
    return entry.domid - ((entry.domid & 0x80000000) << 1)


def owned_by(perms: Permissions, domid: int) -> Permissions:
    """Return the same permissions with another owner."""
    return (perms[0]._replace(domid=domid),) + perms[1:]


def without(domid: int, perms: Permissions) -> Permissions:
    """Return permissions without the entries of a domain; what it owns is domain 0's."""
    if perms[0].domid == domid:
        perms = owned_by(perms, DOM0)
    return perms[:1] + tuple(entry for entry in perms[1:] if entry.domid != domid)
