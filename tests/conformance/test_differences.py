"""Each row of the table of differences shows a difference, and a test uses it."""

import os

import pytest

from .differences import DIFFERENCES, VERSIONS


def test_every_row_is_a_difference():
    for name, row in DIFFERENCES.items():
        answers = [row.answer(kind, version) for kind in ("c", "ocaml") for version in VERSIONS]
        assert any(answer != row.answer("memory") for answer in answers), name


def test_the_answer_of_a_version_between_two_is_that_of_the_older():
    row = DIFFERENCES["a path of 2,049 bytes"]
    assert [row.answer("c", version) for version in ((4, 14), (4, 19), (4, 20), (4, 21))] == [
        None,
        "EINVAL",
        None,
        None,
    ]


@pytest.mark.parametrize("name", sorted(DIFFERENCES))
def test_every_row_is_used_by_a_test(name):
    here = os.path.dirname(__file__)
    for file in sorted(os.listdir(here)):
        if file.startswith("test_") and file != os.path.basename(__file__):
            with open(os.path.join(here, file), encoding="utf-8") as source:
                if '"{}"'.format(name) in source.read():
                    return
    pytest.fail("no test asks for it")
