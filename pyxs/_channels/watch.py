"""One watch."""

from .._wire.requests import strings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Watch:
    """A watch, from before its request is sent until it ends.

    :param suffix: what follows path and token in the request.
    :param label: what the caller wants back with each event.
    :param anywhere: whether it takes all events with its token, whatever their paths.
    """

    __slots__ = ("_anywhere", "is_set", "label", "payload", "token", "wpath")

    is_set: bool  #: whether the daemon has accepted it

    def __init__(
        self,
        wpath: bytes,
        token: bytes,
        suffix: bytes = b"",
        label: "Any" = None,
        anywhere: bool = False,
    ) -> None:
        self.wpath = wpath
        self.token = token
        self.payload = strings(wpath, token) + suffix
        self.label = label
        self.is_set = False
        self._anywhere = anywhere

    def covers(self, path: bytes) -> bool:
        """Return whether the daemon may send an event for *path* to this watch."""
        wpath = self.wpath
        if path == wpath or self._anywhere or wpath == b"/":
            return True
        if wpath.startswith(b"@") and wpath.startswith(path):
            return True  # @releaseDomain/<domid> may be reported without the domid
        return path.startswith(wpath + b"/")
