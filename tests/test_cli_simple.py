"""Simple command lines are parsed without argparse, with the same result."""

import pytest

from command_lines import COMMAND_LINES
from pyxs._cli.simple import parse_simple
from pyxs._cli.subcommands import make_parser
from test_cli_by_name import command_line


def found(args):
    """Return the parsed command line without its function, which cannot be compared."""
    return {name: value for name, value in vars(args).items() if name != "run"}


@pytest.mark.parametrize(
    "words",
    [
        ["read", "/a"],
        ["read", "-p", "/a", "-Rs", ""],
        ["read", "/a", "-u"],
        ["list", "/a", "b", "-p"],
        ["ls"],
        ["ls", "-fpu", "/a"],
        ["exists", "-s", "/a"],
        ["mkdir", "/a"],
        ["rm", "/a", "-t", "/b"],
        ["chmod", "-ur", "/a", "n0", "r"],
        ["write", "/a", "-", "-R", "/b", ""],
    ],
    ids=" ".join,
)
def test_the_result_is_that_of_argparse(words):
    assert found(parse_simple(words)) == found(make_parser(words[:1]).parse_args(words))


def test_random_command_lines_give_the_result_of_argparse():
    for words in COMMAND_LINES + [command_line() for _ in range(300)]:
        simple = parse_simple(words)
        if simple is not None:
            assert found(simple) == found(make_parser(words[:1]).parse_args(words))


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["read"],
        ["read", "-q", "/a"],
        ["read", "-p"],
        ["read", "-h", "/a"],
        ["read", "--", "/a"],
        ["read", "--raw", "/a"],
        ["--socket", "/s", "read", "/a"],
        ["write", "/a"],
        ["write", "--stdin", "/a"],
        ["chmod", "/a"],
        ["watch", "/a"],
        ["raed", "/a"],
    ],
    ids=" ".join,
)
def test_any_other_command_line_is_left_to_argparse(words):
    assert parse_simple(words) is None
