"""Hints for the message of a connection that failed: each begins with ``"; "``, or is empty."""

import errno
import os

_SOCKET_PATH_MAX = 107  # sun_path has 108 bytes with its NUL, unix(7)


def variable_hint(variable: str) -> str:
    """Return a hint that an environment variable named the path; ``""``: none did."""
    return "; {} names this path".format(variable) if variable else ""


def socket_hint(path: str, cause: OSError) -> str:
    """Return a hint about a socket that could not be connected to."""
    if not path:
        return "; the path is empty"
    if len(os.fsencode(path)) > _SOCKET_PATH_MAX:
        return "; the path of a socket has at most {} bytes".format(_SOCKET_PATH_MAX)
    if cause.errno in (errno.EACCES, errno.EPERM):
        return "; connecting takes root, or write permission on the socket"
    if os.path.isdir(path):
        return "; this is a directory, and the socket may be a file in it"
    if os.path.isfile(path):
        return "; this is a file, not a socket"
    return (
        "; is xenstored running? in a guest use XenBus: xen_bus_path, or pyxs --xenbus; "
        "without Xen, pyxs run COMMAND gives a command a store of its own"
    )


def device_hint(cause: OSError) -> str:
    """Return a hint about a XenBus device that could not be opened."""
    if cause.errno in (errno.EACCES, errno.EPERM):
        return "; opening a XenBus device takes root"
    if cause.errno == errno.EISDIR:
        return "; this is a directory, not a XenBus device"
    return "; is this a domain of Xen? its kernel has the device /dev/xen/xenbus"
