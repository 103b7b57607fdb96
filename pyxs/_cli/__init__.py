"""The subcommands of ``pyxs``."""
