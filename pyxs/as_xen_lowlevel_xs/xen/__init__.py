"""Package ``xen``; modules of a real package ``xen`` are importable from it too."""

from pkgutil import extend_path

__path__ = extend_path(__path__, __name__)
