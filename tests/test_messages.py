"""Payloads of requests, and checks of replies."""

import pytest

from pyxs import InvalidOperation, InvalidPayload
from pyxs._wire.packets import Op
from pyxs._wire.replies import MalformedError, decode_flag, decode_number, decode_part
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
    ("op", "args", "payload"),
    [
        (Op.DIRECTORY_PART, ("/a", 0), b"/a\x000\0"),
        (Op.DIRECTORY_PART, ("/a", 2**32 - 1), b"/a\x004294967295\0"),
        (Op.INTRODUCE, (1, -(2**63), 0), b"1\0-9223372036854775808\x000\0"),
        (Op.INTRODUCE, (1, 2**63 - 1, 2**32 - 1), b"1\x009223372036854775807\x004294967295\0"),
        (Op.SET_FEATURE, (1, 0), b"1\x000\0"),
        (Op.SET_FEATURE, (1, 2**32 - 1), b"1\x004294967295\0"),
        (Op.SET_QUOTA, ("nodes", 0), b"nodes\x000\0"),
        (Op.SET_QUOTA, ("nodes", 2**32 - 1), b"nodes\x004294967295\0"),
        (Op.SET_TARGET, (0, 0), b"0\x000\0"),
        (Op.SET_TARGET, (65535, 65535), b"65535\x0065535\0"),
    ],
)
def test_a_number_may_be_as_small_or_as_large_as_its_field(op, args, payload):
    assert encode(op, args) == payload


@pytest.mark.parametrize(
    ("op", "args", "message"),
    [
        (Op.DIRECTORY_PART, ("/a", -1), "offset -1: must be an integer from 0 to 4294967295"),
        (
            Op.INTRODUCE,
            (1, -(2**63) - 1, 1),
            "mfn .* from -9223372036854775808 to 92233720368547758",
        ),
        (Op.INTRODUCE, (0, 1, 1), "domid 0: must be an integer from 1 to 65535"),
        (Op.INTRODUCE, (1, 2**63, 1), "mfn .* to 9223372036854775807$"),
        (Op.DIRECTORY_PART, ("/a", 2**32), "offset 4294967296: .* to 4294967295$"),
        (Op.INTRODUCE, (1, 1, -1), "eventchn -1: must be an integer from 0 to 4294967295"),
        (Op.INTRODUCE, (1, 1, 2**32), "eventchn 4294967296: .* to 4294967295$"),
        (Op.SET_FEATURE, (1, -1), "bits -1: must be an integer from 0 to 4294967295"),
        (Op.SET_FEATURE, (1, 2**32), "bits 4294967296: .* to 4294967295$"),
        (Op.SET_QUOTA, ("nodes", -1), "value -1: must be an integer from 0 to 4294967295"),
        (Op.SET_QUOTA, ("nodes", 2**32), "value 4294967296: .* to 4294967295$"),
        (Op.SET_TARGET, (1, 65536), "target 65536: must be an integer from 0 to 65535"),
    ],
)
def test_a_number_that_does_not_fit_its_field_is_refused(op, args, message):
    with pytest.raises(InvalidPayload, match="^" + message):
        encode(op, args)


@pytest.mark.parametrize(
    "payload", [b"", b"\0", b"1", b"-1\0", b"x\0", b"4294967296\0", b"00000000001\0"]
)
def test_a_number_that_is_not_one_of_32_bits_is_refused(payload):
    with pytest.raises(MalformedError, match="32 bits"):
        decode_number(payload)


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


def test_a_flag_is_true_or_false():
    assert decode_flag(b"T\0") is True
    assert decode_flag(b"F\0") is False
    for payload in (b"", b"T", b"t\0", b"1\0", b"T\0F\0"):
        with pytest.raises(MalformedError, match="neither T nor F"):
            decode_flag(payload)
