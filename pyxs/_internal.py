"""The wire format: operations, packets, and framing without I/O.

The numbers and names are those of *xs_wire.h* in Xen's public headers.
"""

import enum
import struct
from typing import Any, List, NamedTuple, Optional, Union

from .exceptions import InvalidOperation, InvalidPayload, UnexpectedPacket

PAYLOAD_MAX = 4096  # XENSTORE_PAYLOAD_MAX, xs_wire.h

#: The longest reply taken. The OCaml daemon answers DIRECTORY with one reply of
#: any length, against the protocol.
REPLY_MAX = 1 << 20

_HEADER = struct.Struct("=4I")  # struct xsd_sockmsg: type, req_id, tx_id, len
HEADER_SIZE = _HEADER.size
_unpack_header = _HEADER.unpack_from


class Op(enum.IntEnum):
    """Types of messages, as ``enum xsd_sockmsg_type`` of *xs_wire.h* numbers them."""

    CONTROL = 0
    DEBUG = 0  # CONTROL's name before Xen 4.9
    DIRECTORY = 1
    READ = 2
    GET_PERMS = 3
    WATCH = 4
    UNWATCH = 5
    TRANSACTION_START = 6
    TRANSACTION_END = 7
    INTRODUCE = 8
    RELEASE = 9
    GET_DOMAIN_PATH = 10
    WRITE = 11
    MKDIR = 12
    RM = 13
    SET_PERMS = 14
    WATCH_EVENT = 15
    ERROR = 16
    IS_DOMAIN_INTRODUCED = 17
    RESUME = 18
    SET_TARGET = 19
    RESTRICT = 20  # removed from Xen, kept as a name
    RESET_WATCHES = 21
    DIRECTORY_PART = 22
    GET_FEATURE = 23
    SET_FEATURE = 24
    GET_QUOTA = 25
    SET_QUOTA = 26
    INVALID = 65535


OPS = {int(op): op for op in Op}


class Event(NamedTuple):
    """A change under a watched path."""

    path: str
    token: str


_new = object.__new__


class Packet:
    """One message: a 16-byte header and a payload.

    :param op: a member of :class:`Op`, or its number.
    :param payload: at most 4096 bytes; ``str`` is encoded in UTF-8.
    :param rq_id: the request's number, 0 by default.
    :param tx_id: the transaction's number, 0 for none.
    :raises InvalidOperation: *op* is not in :class:`Op`.
    :raises InvalidPayload: *payload* is too long or cannot be encoded, or a number is not
        32 bits wide.
    """

    __slots__ = ("op", "payload", "rq_id", "tx_id")

    op: int  #: an :class:`Op`; from the wire, possibly a number unknown to it
    rq_id: int
    tx_id: int
    payload: bytes

    def __init__(
        self,
        op: int,
        payload: "Union[bytes, str]",
        rq_id: "Optional[int]" = None,
        tx_id: "Optional[int]" = None,
    ) -> None:
        if isinstance(payload, str):
            try:
                payload = payload.encode("utf-8", "surrogateescape")
            except UnicodeEncodeError:
                raise InvalidPayload(
                    "payload {:.60}: has a surrogate that stands for no byte".format(repr(payload))
                ) from None
        if len(payload) > PAYLOAD_MAX:
            raise InvalidPayload(
                "payload of {} bytes: a message carries at most {}".format(
                    len(payload), PAYLOAD_MAX
                )
            )
        try:
            self.op = OPS[op]
        except (KeyError, TypeError):
            raise InvalidOperation("{!r}: not an operation of Op".format(op)) from None
        self.rq_id = 0 if rq_id is None else rq_id
        self.tx_id = 0 if tx_id is None else tx_id
        self.payload = payload

    @property
    def size(self) -> int:
        """The length of the payload in bytes."""
        return len(self.payload)

    def __bytes__(self) -> bytes:
        try:
            header = _HEADER.pack(self.op, self.rq_id, self.tx_id, len(self.payload))
        except struct.error:
            raise InvalidPayload(
                "rq_id {!r}, tx_id {!r}: must be integers from 0 to 2**32 - 1".format(
                    self.rq_id, self.tx_id
                )
            ) from None
        return header + self.payload

    def __eq__(self, other: Any) -> bool:
        if not isinstance(other, Packet):
            return NotImplemented
        return (self.op, self.rq_id, self.tx_id, self.payload) == (
            other.op,
            other.rq_id,
            other.tx_id,
            other.payload,
        )

    def __hash__(self) -> int:
        return hash((self.op, self.rq_id, self.tx_id, self.payload))

    def __repr__(self) -> str:
        return "Packet(op={!r}, rq_id={}, tx_id={}, size={}, payload={!r})".format(
            self.op, self.rq_id, self.tx_id, self.size, self.payload
        )


def packet_from_wire(op: int, rq_id: int, tx_id: int, payload: bytes) -> Packet:
    """Make a packet without a check: of any type and length, as they come."""
    packet = _new(Packet)
    packet.op = OPS.get(op, op)
    packet.rq_id = rq_id
    packet.tx_id = tx_id
    packet.payload = payload
    return packet


class Framer:
    """Turns bytes, in pieces of any size, into packets.

    :param limit: the longest payload taken, in bytes.
    """

    __slots__ = ("_limit", "_missing", "refused", "rest")

    def __init__(self, limit: int = REPLY_MAX) -> None:
        self._limit = limit
        #: What came of a message that is not yet whole, in pieces.
        self.rest: List[bytes] = []
        self._missing = 0  # bytes due before it is worth joining them
        #: Why nothing more can be made of the stream, if so.
        self.refused: Optional[UnexpectedPacket] = None

    def feed(self, data: bytes) -> "List[Packet]":
        """Take in the next bytes of the stream; return the packets that are whole now.

        :raises UnexpectedPacket: the next header announces more than the limit. When packets
            came before it those are returned, and the exception is in *refused*.
        """
        if self.rest:
            # Not joined one by one: a reply that comes byte by byte costs no more
            # than its length.
            self.rest.append(data)
            self._missing -= len(data)
            if self._missing > 0:
                return []
            data = b"".join(self.rest)
            self.rest = []
        packets: List[Packet] = []
        start, end = 0, len(data)
        stop = HEADER_SIZE
        while stop <= end:
            op, rq_id, tx_id, size = _unpack_header(data, start)
            if size > self._limit:
                refused = self._refuse(size)
                if not packets:
                    raise refused
                break
            body = stop
            stop += size
            if stop > end:
                break
            packets.append(packet_from_wire(op, rq_id, tx_id, data[body:stop]))
            start = stop
            stop += HEADER_SIZE
        if start < end:
            self.rest.append(data[start:])
            self._missing = stop - end
        return packets

    def _refuse(self, size: int) -> UnexpectedPacket:
        self.refused = UnexpectedPacket(
            "a message announces a payload of {} bytes, over the limit of {}".format(
                size, self._limit
            )
        )
        return self.refused
