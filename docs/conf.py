"""How Sphinx builds these pages; every example in them runs as a doctest."""

import doctest
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
sys.path[:0] = [ROOT, HERE]
os.environ["PYTHONPATH"] = ROOT  # for programs whose output is shown

import pyxs  # noqa: E402

project = "pyxs"
copyright = "the authors of pyxs"
version = release = pyxs.__version__

extensions = [
    "matplotlib.sphinxext.plot_directive",
    "sphinx.ext.autodoc",
    "sphinx.ext.doctest",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "sphinxcontrib.programoutput",
    "daemons_table",
    "speed_table",
]
exclude_patterns = ["_build"]
nitpicky = True
nitpick_ignore_regex = [
    (r"py:.*", r"(errno|os|pytest|socket)(\..*)?"),  # described on pages of their own
    (r"py:class", r"pyxs\._annotations\.types\.[PT]"),  # type variables
]

highlight_language = "sh"  # of a block after ``::``; other blocks name theirs

html_theme = "furo"
html_title = "pyxs {}".format(release)
html_static_path = ["_static"]
html_css_files = ["pages.css"]
html_js_files = ["pages.js"]

# The button copies what one types, without the prompts and without what is printed.
copybutton_prompt_text = r">>> |\.\.\. ?|\$ |pyxs(?: /\S*)?> "
copybutton_prompt_is_regexp = True
copybutton_only_copy_prompt_lines = True

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
maximum_signature_line_length = 90
autodoc_preserve_defaults = True

plot_html_show_formats = False
plot_html_show_source_link = False
plot_formats = ["svg"]
plot_apply_rcparams = True
plot_rcparams = {"savefig.transparent": True}

# Each page has an in-memory daemon of its own; Client(), xs() and the command find it.
doctest_global_setup = """
import os
from pyxs.helpers import error
from pyxs.xenstored import XenStored

daemon = XenStored()
daemon.start()
os.environ["XENSTORED_PATH"] = daemon.path
"""
# Sphinx would take any message of an exception for the right one.
doctest_default_flags = doctest.ELLIPSIS | doctest.DONT_ACCEPT_TRUE_FOR_1
doctest_global_cleanup = """
daemon.stop()
"""
