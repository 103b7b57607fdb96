"""The rules for paths."""

import re

from ._errors import Refused
from ._session import Session
from ._versions import Version

_NODE = re.compile(rb"/|(?:/[-\w@]+)+", re.ASCII)
_SPECIAL = re.compile(rb"@[-\w@]*(?:/[-\w@]+)*", re.ASCII)
_HOME = re.compile(rb"/local/domain/[0-9]{1,5}/")


def check_path(version: Version, session: Session, path: bytes, special: bool = False) -> None:
    """Check an absolute path.

    :param special: whether it may begin with ``@``.
    :raises Refused: ``EINVAL``: it is not a valid path, or over the quota.
    """
    if not (special and path.startswith(b"@")):
        valid = _NODE.fullmatch(path) is not None
    else:
        valid = not version.strict or _SPECIAL.fullmatch(path) is not None
    if not valid or _is_too_long(version, session, path):
        raise Refused("EINVAL")


def _is_too_long(version: Version, session: Session, path: bytes) -> bool:
    if not (version.paths_of_dom0 or session.unprivileged):
        return False
    home = _HOME.match(path)  # it does not count
    length = len(path) - (home.end() if home is not None else 0)
    return session.domain.exceeds(b"path-max", length)
