"""``pyxs completion``: prints scripts of this directory; tests/completion_scripts.py makes them."""

import argparse
import pkgutil

from .console import show

__all__ = ["completion"]


def completion(args: argparse.Namespace) -> int:
    """Print the script for a shell."""
    show(pkgutil.get_data(__package__ or "", "completion." + args.shell) or b"")
    return 0
