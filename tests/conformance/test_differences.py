"""The table of known differences holds nothing but differences, and no row that is not used."""

import os

import pytest

from .differences import DIFFERENCES


def test_every_row_is_a_difference():
    for name, row in DIFFERENCES.items():
        assert not row.c == row.ocaml == row.memory, name


@pytest.mark.parametrize("name", sorted(DIFFERENCES))
def test_every_row_is_used_by_a_test(name):
    here = os.path.dirname(__file__)
    for file in sorted(os.listdir(here)):
        if file.startswith("test_") and file != os.path.basename(__file__):
            with open(os.path.join(here, file), encoding="utf-8") as source:
                if '"{}"'.format(name) in source.read():
                    return
    pytest.fail("no test asks for it")
