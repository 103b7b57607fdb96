"""Command lines without options are parsed without argparse, with the same result."""

import pytest

from command_lines import COMMAND_LINES
from pyxs._cli.operands import operands_alone
from pyxs._cli.subcommands import make_parser


def found(args):
    """Return the parsed command line without its function, which cannot be compared."""
    return {name: value for name, value in vars(args).items() if name != "run"}


@pytest.mark.parametrize("name", ["exists", "list", "mkdir", "read", "rm", "write"])
@pytest.mark.parametrize("operands", [["/a", "1"], ["/a", "", "b", "/c"]], ids=len)
def test_operands_are_parsed_as_argparse_does(name, operands):
    words = [name, *operands]
    assert found(operands_alone(words)) == found(make_parser([name]).parse_args(words))


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["read"],
        ["read", "-p", "/a"],
        ["read", "/a", "-p"],
        ["read", "--", "/a"],
        ["--socket", "/s", "read", "/a"],
        ["write", "/a"],
        ["write", "/a", "-"],
        ["watch", "/a"],
        ["raed", "/a"],
    ],
    ids=" ".join,
)
def test_any_other_command_line_is_left_to_argparse(words):
    assert operands_alone(words) is None


def test_the_command_lines_of_the_other_tests_are_of_both_kinds():
    kinds = [operands_alone(words) is None for words in COMMAND_LINES]
    assert True in kinds
    assert False in kinds
