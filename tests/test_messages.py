"""Payloads of requests, and checks of replies."""

import pytest

from pyxs import InvalidOperation
from pyxs._wire.packets import Op
from pyxs._wire.replies import decode_part
from pyxs._wire.requests import encode


@pytest.mark.parametrize("args", [("/a",), ("/a", "b", "c")])
def test_a_wrong_number_of_arguments_names_those_that_are_right(args):
    with pytest.raises(
        TypeError, match="^WRITE takes 2 arguments, path, value, not {}$".format(len(args))
    ):
        encode(Op.WRITE, args)


def test_one_argument_is_one():
    with pytest.raises(TypeError, match="^READ takes 1 argument, path, not 0$"):
        encode(Op.READ, ())


def test_a_type_error_of_a_value_passes():
    class Odd:
        def __str__(self):
            raise TypeError("odd")

    with pytest.raises(TypeError, match="^odd$"):
        encode(Op.WRITE, ("/a", Odd()))


@pytest.mark.parametrize("op", [[], None, "READ", 99, Op.ERROR])
def test_an_op_that_is_no_request_is_an_invalid_operation(op):
    with pytest.raises(InvalidOperation, match="not a request of Op"):
        encode(op, ())


def test_a_request_with_a_method_of_its_own_names_it():
    with pytest.raises(InvalidOperation, match=r"^WATCH: use watch\(\)$"):
        encode(Op.WATCH, ("/a", "token"))


@pytest.mark.parametrize(
    ("payload", "part"),
    [
        (b"7\0a\0b\0", (b"7", b"a\0b\0", False)),
        (b"7\0a\0b\0\0", (b"7", b"a\0b\0", True)),
        (b"7\0\0", (b"7", b"", True)),
    ],
)
def test_a_part_of_a_directory_tells_whether_it_is_the_last(payload, part):
    assert decode_part(payload) == part


@pytest.mark.parametrize("payload", [b"", b"7", b"7\0", b"7\0a"])
def test_a_part_without_its_nul_is_refused(payload):
    with pytest.raises(ValueError, match="NUL"):
        decode_part(payload)
