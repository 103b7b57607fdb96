"""The wire format, used by the client and by the in-memory daemon."""
