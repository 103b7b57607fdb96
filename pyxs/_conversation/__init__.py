"""The threads of a process on one connection."""
