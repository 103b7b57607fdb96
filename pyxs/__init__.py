"""A synchronous XenStore client in pure Python."""

__version__ = "1.0.0"
