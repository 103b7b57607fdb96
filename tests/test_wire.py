"""The wire format, and framing without I/O."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyxs import InvalidOperation, InvalidPayload, UnexpectedPacket
from pyxs._wire.framing import Framer
from pyxs._wire.packets import PAYLOAD_MAX, Op, Packet, packet_from_wire


def header(op, rq_id, tx_id, size):
    """Return a header made without pyxs: four native uint32, as in xs_wire.h."""
    return struct.pack("=IIII", op, rq_id, tx_id, size)


packets = st.builds(
    packet_from_wire,
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**32 - 1),
    st.binary(max_size=300),
)


# -- Op ------------------------------------------------------------------------------------


def test_operations_have_the_numbers_of_xs_wire_h():
    assert {op.name: int(op) for op in Op} == {
        "CONTROL": 0,
        "DIRECTORY": 1,
        "READ": 2,
        "GET_PERMS": 3,
        "WATCH": 4,
        "UNWATCH": 5,
        "TRANSACTION_START": 6,
        "TRANSACTION_END": 7,
        "INTRODUCE": 8,
        "RELEASE": 9,
        "GET_DOMAIN_PATH": 10,
        "WRITE": 11,
        "MKDIR": 12,
        "RM": 13,
        "SET_PERMS": 14,
        "WATCH_EVENT": 15,
        "ERROR": 16,
        "IS_DOMAIN_INTRODUCED": 17,
        "RESUME": 18,
        "SET_TARGET": 19,
        "RESTRICT": 20,
        "RESET_WATCHES": 21,
        "DIRECTORY_PART": 22,
        "GET_FEATURE": 23,
        "SET_FEATURE": 24,
        "GET_QUOTA": 25,
        "SET_QUOTA": 26,
        "INVALID": 65535,
    }


def test_debug_is_the_old_name_of_control():
    assert Op.DEBUG is Op.CONTROL


# -- Packet --------------------------------------------------------------------------------


def test_a_packet_is_a_header_and_its_payload():
    packet = Packet(Op.WRITE, b"/a\0b", rq_id=7, tx_id=9)
    assert bytes(packet) == header(11, 7, 9, 4) + b"/a\0b"


def test_ids_are_zero_unless_given():
    packet = Packet(Op.READ, b"/a\0")
    assert (packet.rq_id, packet.tx_id) == (0, 0)


def test_a_packet_has_its_fields():
    packet = Packet(Op.READ, b"/a\0", 3, 4)
    assert (packet.op, packet.rq_id, packet.tx_id) == (Op.READ, 3, 4)
    assert (packet.size, packet.payload) == (3, b"/a\0")


def test_text_is_encoded_as_utf_8():
    packet = Packet(Op.WRITE, "/a\0\u20ac\udcff")
    assert packet.payload == b"/a\0\xe2\x82\xac\xff"
    assert packet.size == 7


def test_the_number_of_an_operation_serves_as_well():
    assert Packet(2, b"").op is Op.READ


@pytest.mark.parametrize("op", [27, -1, 65534, 2**32, None, "READ", b"\2", [], 2.5])
def test_an_unknown_operation_is_refused(op):
    with pytest.raises(InvalidOperation, match="not an operation of Op"):
        Packet(op, b"")


def test_a_payload_of_4096_bytes_is_taken():
    assert Packet(Op.WRITE, b"x" * 4096).size == PAYLOAD_MAX == 4096


@pytest.mark.parametrize("payload", [b"x" * 4097, "x" * 4097, "\u20ac" * 1366])
def test_a_longer_payload_is_refused(payload):
    with pytest.raises(InvalidPayload, match="at most 4096"):
        Packet(Op.WRITE, payload)


def test_text_that_stands_for_no_bytes_is_refused():
    with pytest.raises(InvalidPayload, match="surrogate"):
        Packet(Op.WRITE, "/a\0\ud800")


@pytest.mark.parametrize("ids", [(2**32, 0), (0, 2**32), (-1, 0), ("1", 0), (1.5, 0)])
def test_ids_are_numbers_of_32_bits(ids):
    with pytest.raises(InvalidPayload, match="2\\*\\*32 - 1"):
        bytes(Packet(Op.READ, b"/\0", *ids))


def test_packets_compare_by_what_they_say():
    packet = Packet(Op.READ, b"/a\0", 1, 2)
    assert packet == Packet(Op.READ, b"/a\0", 1, 2)
    assert hash(packet) == hash(Packet(Op.READ, b"/a\0", 1, 2))
    for other in (
        Packet(Op.RM, b"/a\0", 1, 2),
        Packet(Op.READ, b"/b\0", 1, 2),
        Packet(Op.READ, b"/a\0", 3, 2),
        Packet(Op.READ, b"/a\0", 1, 3),
        bytes(packet),
    ):
        assert packet != other


def test_a_packet_shows_its_fields():
    shown = repr(Packet(Op.READ, b"/a\0", 1, 2))
    for field in ("Op.READ", "rq_id=1", "tx_id=2", "size=3", r"b'/a\x00'"):
        assert field in shown


def test_a_packet_from_the_wire_may_have_any_type_and_length():
    packet = packet_from_wire(4711, 1, 2, b"x" * 5000)
    assert (packet.op, packet.size) == (4711, 5000)


# -- Framer --------------------------------------------------------------------------------


def test_a_packet_that_is_whole_is_returned_once():
    framer = Framer()
    assert framer.feed(header(2, 7, 9, 5) + b"value") == [Packet(Op.READ, b"value", 7, 9)]
    assert framer.feed(b"") == []


def test_a_packet_without_payload():
    assert Framer().feed(header(1, 1, 0, 0)) == [Packet(Op.DIRECTORY, b"", 1)]


@pytest.mark.parametrize("cut", range(1, 21))
def test_a_packet_in_halves(cut):
    data = bytes(Packet(Op.READ, b"value", 7, 9))
    framer = Framer()
    assert framer.feed(data[:cut]) == []
    assert framer.begun
    assert framer.feed(data[cut:]) == [Packet(Op.READ, b"value", 7, 9)]
    assert not framer.begun


def test_merged_packets_come_together():
    sent = [Packet(Op.READ, b"x" * size, size) for size in range(40)]
    assert Framer().feed(b"".join(map(bytes, sent))) == sent


@given(st.lists(packets, max_size=6), st.data())
def test_pieces_of_any_size_make_the_same_packets(sent, data):
    stream = b"".join(map(bytes, sent))
    framer = Framer()
    got = []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        got += framer.feed(stream[:size])
        stream = stream[size:]
    assert got == sent
    assert not framer.begun


@given(st.lists(packets, min_size=1, max_size=4))
def test_byte_by_byte(sent):
    framer = Framer()
    got = []
    for byte in b"".join(map(bytes, sent)):
        got += framer.feed(bytes([byte]))
    assert got == sent


def test_a_long_reply_byte_by_byte_costs_no_more_than_its_length():
    # Joined at each byte, a mebibyte would take minutes: the suite's time limit.
    framer = Framer()
    framer.feed(header(1, 1, 0, 2**20))
    for _ in range(2**20 - 1):
        assert framer.feed(b"x") == []
    (packet,) = framer.feed(b"x")
    assert packet.size == 2**20


def test_a_reply_may_have_a_mebibyte():
    value = bytes(2**20)
    assert Framer().feed(header(2, 1, 0, 2**20) + value) == [packet_from_wire(2, 1, 0, value)]


@pytest.mark.parametrize("size", [2**20 + 1, 2**31, 2**32 - 1])
def test_a_header_that_announces_too_much_is_refused_at_once(size):
    with pytest.raises(UnexpectedPacket, match=str(size)):
        Framer().feed(header(2, 1, 0, size))


def test_packets_before_a_bad_header_are_returned():
    framer = Framer()
    good = Packet(Op.READ, b"value", 7)
    assert framer.feed(bytes(good) + header(2, 1, 0, 2**31)) == [good]
    assert "2147483648" in str(framer.refused)


def test_the_limit_can_be_that_of_requests():
    with pytest.raises(UnexpectedPacket, match="4096"):
        Framer(limit=PAYLOAD_MAX).feed(header(11, 1, 0, 4097))
