"""``xen``, of which the real package's directories, if there are any, are part."""

from pkgutil import extend_path

__path__ = extend_path(__path__, __name__)
