"""Finds the installed ``xen-utils`` of Debian; also for Pythons without pyxs."""

import glob
import os
import re
import subprocess


def _installed():
    """Return the versions that have an ``xenstored``, as numbers, the newest last."""
    found = glob.glob("/usr/lib/xen-[0-9]*.[0-9]*/bin/xenstored")
    return sorted(tuple(map(int, re.findall(r"\d+", path))) for path in found)


_INSTALLED = _installed()

#: Xen's version; where none is installed, the one that is asked for.
VERSION = (_INSTALLED or [(4, 17)])[-1]
NAME = "{}.{}".format(*VERSION)

#: Where the package puts what is not on the PATH: daemons, ``test-xenstore``.
TOOLS = "/usr/lib/xen-{}/bin".format(NAME)

#: ``xenstore-control``: from 4.17 on, the one on the PATH refuses to run without Xen.
CONTROL = os.path.join(TOOLS, "xenstore-control") if VERSION > (4, 14) else "xenstore-control"

#: Where ``xen.lowlevel.xs`` is, the C extension.
EXTENSION = "/usr/lib/xen-{}/lib/python".format(NAME)

INSTALL = "apt-get install --no-install-recommends xen-utils-4.17 (xen-utils-4.20 on Debian 13)"


def description():
    """Return the names of the installed daemons and their full version."""
    if not _INSTALLED:
        return "no xenstored"
    try:
        package = subprocess.check_output(
            ["dpkg-query", "-W", "-f", "${Version}", "xen-utils-" + NAME],
            stderr=subprocess.DEVNULL,
            universal_newlines=True,
        )
    except (OSError, subprocess.CalledProcessError):
        package = NAME
    return "xenstored and oxenstored " + package


def missing(name):
    """Return why the program of that name in :data:`TOOLS` cannot run, or ``None``."""
    if os.access(os.path.join(TOOLS, name), os.X_OK):
        return None
    return "/usr/lib/xen-*/bin/{} is missing: {}".format(name, INSTALL)
