"""What a reader finds on the pages in docs/."""

from pathlib import Path

import pytest

import pyxs
from pyxs import _names_of_0_4

DOCS = Path(__file__).parent.parent / "docs"


@pytest.mark.parametrize(
    ("cls", "of_0_4"),
    [(pyxs.Client, _names_of_0_4.CLIENT), (pyxs.Monitor, _names_of_0_4.MONITOR)],
    ids=["Client", "Monitor"],
)
def test_the_reference_has_each_public_name(cls, of_0_4):
    lines = (DOCS / "reference" / "client.rst").read_text(encoding="utf-8").splitlines()
    shown = {line.split(".")[-1] for line in lines if ":: {}.".format(cls.__name__) in line}
    public = {name for name in vars(cls) if not name.startswith("_")} - set(of_0_4)
    assert public - shown == set()


def test_the_overview_tells_what_each_howto_is_for():
    overview = (DOCS / "howto" / "index.rst").read_text(encoding="utf-8")
    pages = {page.stem for page in (DOCS / "howto").glob("*.rst")} - {"index"}
    assert {page for page in pages if ":doc:`{}`\n    ".format(page) not in overview} == set()
