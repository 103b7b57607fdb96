"""What can be stored in a node, and what is refused because it would be stored as its repr()."""

import array
import decimal
import enum
import ipaddress
import pathlib
import sys

import pytest

import pyxs
from pyxs import InvalidPayload
from pyxs.helpers import validate_domid, validate_value


class Colour(enum.Enum):
    RED = 1


class Level(enum.IntEnum):
    HIGH = 3


class State(enum.IntFlag):
    ON = 4


class Rights(enum.Flag):
    READ = 1
    WRITE = 2


class Bits(enum.Flag):
    LOW = 1

    def __str__(self):
        return str(self.value)


class Named(str, enum.Enum):
    DISK = "disk"


class Spoken(enum.Enum):
    YES = 1

    def __str__(self):
        return "yes"


class Speed(float, enum.Enum):
    FAST = 2.5


class Silent:
    """It has no ``__str__`` of its own."""


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        (1.5, b"1.5"),
        (2 + 1j, b"(2+1j)"),
        (decimal.Decimal("1.50"), b"1.50"),
        (pathlib.PurePosixPath("/boot/vmlinuz"), b"/boot/vmlinuz"),
        (ipaddress.ip_address("10.0.0.1"), b"10.0.0.1"),
        (ipaddress.ip_network("10.0.0.0/8"), b"10.0.0.0/8"),  # it can be iterated over
        (Level.HIGH, b"3"),
        (State.ON, b"4"),
        (State.ON | State(0), b"4"),
        (Bits.LOW, b"1"),
        (Named.DISK, b"disk"),
        (Spoken.YES, b"yes"),
        (memoryview(b"raw"), b"raw"),
    ],
)
def test_what_has_a_text_of_its_own_is_stored(value, stored):
    assert validate_value(value) == stored


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (None, r"None is no value; rm\(\) removes a node"),
        (False, "no booleans; most programs store 1 and 0"),
        ((), "not tuple"),
        ({"a": 1}, "not dict"),
        ({1}, "not set"),
        (array.array("b", [1]), "not array"),
        (Silent(), "not Silent"),
        (Silent, "not type"),
        (len, "not builtin_function_or_method"),
        (Colour.RED, "an Enum"),
        (Rights.READ, "an Enum"),
        (Rights.READ | Rights.WRITE, "an Enum"),
        (Speed.FAST, "an Enum"),  # its str() is its name
    ],
)
def test_what_would_be_stored_as_its_repr_is_refused(value, why):
    with pytest.raises(InvalidPayload, match="^value .*: .*" + why) as caught:
        validate_value(value)
    assert caught.value.value is value


@pytest.mark.parametrize(
    "check",
    [
        validate_value,
        validate_domid,
        lambda number: pyxs.Client(socket_timeout=number),
        lambda number: pyxs.monitor().wait(timeout=-number),
        lambda number: pyxs.Client().execute_command(number),
        lambda number: pyxs.connection.Packet(number, ""),
    ],
)
def test_an_integer_of_too_many_digits_is_refused(check):
    number = 10**5000
    if check is validate_value and not hasattr(sys, "get_int_max_str_digits"):
        pytest.skip("this Python converts it")
    with pytest.raises((InvalidPayload, pyxs.InvalidOperation)):
        check(number)


@pytest.mark.parametrize(("domid", "number"), [("7", 7), (b"65535", 65535), ("007", 7), (0, 0)])
def test_a_domid_may_be_its_digits(domid, number):
    assert validate_domid(domid) == number


@pytest.mark.parametrize(
    "domid", ["", "-1", "+1", " 7", "65536", "000007", "7a", b"\xb2", "\u0667", 7.0, True, None]
)
def test_what_is_no_domid_is_refused(domid):
    with pytest.raises(InvalidPayload, match="^domid .*integer from 0 to 65535"):
        validate_domid(domid)


def test_the_digits_of_a_domid_that_is_too_small_are_refused():
    with pytest.raises(InvalidPayload, match="from 1 to 65535"):
        validate_domid("0", minimum=1)
