"""How Sphinx builds these pages; every example in them runs as a doctest."""

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.dirname(HERE), HERE]

import pyxs  # noqa: E402

project = "pyxs"
copyright = "the authors of pyxs"
version = release = pyxs.__version__

extensions = [
    "matplotlib.sphinxext.plot_directive",
    "sphinx.ext.autodoc",
    "sphinx.ext.doctest",
    "sphinx.ext.viewcode",
    "sphinxarg.ext",
]
exclude_patterns = ["_build"]
nitpicky = True
nitpick_ignore = [
    ("py:class", "pyxs.helpers.Text"),
]

html_theme = "furo"
html_title = "pyxs {}".format(release)

# Sections of man(1), from the parser that prints --help.
man_pages = [("reference/pyxs.1", "pyxs", "read, write and watch XenStore", [], 1)]

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True

plot_html_show_formats = False
plot_html_show_source_link = False
plot_formats = ["svg"]

# Each page has an in-memory daemon of its own; Client(), xs() and the command find it.
doctest_global_setup = """
import os
from pyxs.helpers import error
from pyxs.xenstored import XenStored

daemon = XenStored()
daemon.start()
os.environ["XENSTORED_PATH"] = daemon.path
"""
doctest_global_cleanup = """
daemon.stop()
"""
