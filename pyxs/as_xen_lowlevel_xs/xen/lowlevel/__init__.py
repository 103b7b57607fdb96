"""Package ``xen.lowlevel``; modules of a real ``xen.lowlevel`` are importable from it too."""

from pkgutil import extend_path

__path__ = extend_path(__path__, __name__)
