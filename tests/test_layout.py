"""Limits the sizes of package and modules; ``tox -e lint`` checks the imports."""

from pathlib import Path

import pyxs

PACKAGE = Path(pyxs.__file__).parent
MODULES_MAX = 14
LINES_MAX = 450


def test_the_top_level_has_few_modules():
    modules = sorted(path.name for path in PACKAGE.glob("*.py"))
    assert len(modules) <= MODULES_MAX, modules


def test_no_module_is_long_but_the_client_with_its_docstrings():
    lines = {
        path.relative_to(PACKAGE).as_posix(): len(path.read_text(encoding="utf-8").splitlines())
        for path in PACKAGE.rglob("*.py")
    }
    del lines["client.py"]
    assert {path: count for path, count in lines.items() if count > LINES_MAX} == {}
