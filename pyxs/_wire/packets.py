"""Operations and packets, with the numbers and names of *xs_wire.h* in Xen's public headers."""

import enum
import struct

from .._annotations import t
from ..exceptions import InvalidOperation, InvalidPayload
from ..helpers import encode_text, shown

PAYLOAD_MAX = 4096  # XENSTORE_PAYLOAD_MAX, xs_wire.h

HEADER = struct.Struct("=4I")  # struct xsd_sockmsg: type, req_id, tx_id, len
HEADER_SIZE = HEADER.size


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
ERROR = int(Op.ERROR)  #: the type of a reply that has the name of an errno
MISSING = ERROR, b"ENOENT\0"  #: the reply about a node that does not exist


_new = object.__new__


class Message:
    """The fields of a message: those of its header, and its payload."""

    __slots__ = ("op", "payload", "rq_id", "tx_id")

    op: int  #: an :class:`Op`, or a number from the wire that :class:`Op` lacks
    rq_id: int
    tx_id: int
    payload: bytes

    def __bytes__(self) -> bytes:
        """Return the bytes of the message.

        :raises InvalidPayload: an id is not an integer from 0 to 2**32 - 1.
        """
        try:
            header = HEADER.pack(self.op, self.rq_id, self.tx_id, len(self.payload))
        except struct.error:
            raise InvalidPayload(
                (self.rq_id, self.tx_id),
                "rq_id {!r}, tx_id {!r}: must be integers from 0 to 2**32 - 1".format(
                    self.rq_id, self.tx_id
                ),
            ) from None
        return header + self.payload


class Packet(Message):
    """One message: a 16-byte header and a payload.

    :param op: a member of :class:`Op`, or its number.
    :param payload: at most 4096 bytes; ``str`` is encoded in UTF-8.
    :param rq_id: the id of the request, 0 by default.
    :param tx_id: the id of the transaction, 0 by default: no transaction.
    :raises InvalidOperation: *op* is not in :class:`Op`.
    :raises InvalidPayload: *payload* is too long or cannot be encoded. ``bytes(packet)``
        raises it if an id is not an integer from 0 to 2**32 - 1.
    """

    __slots__ = ()

    def __init__(
        self,
        op: int,
        payload: "t.Union[bytes, str]",
        rq_id: "t.Optional[int]" = None,
        tx_id: "t.Optional[int]" = None,
    ) -> None:
        if isinstance(payload, str):
            payload = encode_text(payload, "payload")
        if len(payload) > PAYLOAD_MAX:
            raise InvalidPayload(
                payload,
                "payload of {} bytes: a message carries at most {}".format(
                    len(payload), PAYLOAD_MAX
                ),
            )
        if not isinstance(op, int) or op not in OPS:
            raise InvalidOperation(op, "{}: not an operation of Op".format(shown(op)))
        self.op = OPS[op]
        self.rq_id = 0 if rq_id is None else rq_id
        self.tx_id = 0 if tx_id is None else tx_id
        self.payload = payload

    @property
    def size(self) -> int:
        """The length of the payload in bytes."""
        return len(self.payload)

    def __eq__(self, other: "t.Any") -> bool:
        """Return whether all fields are equal."""
        if not isinstance(other, Packet):
            return NotImplemented
        return (self.op, self.rq_id, self.tx_id, self.payload) == (
            other.op,
            other.rq_id,
            other.tx_id,
            other.payload,
        )

    def __hash__(self) -> int:
        """Return the hash of all fields."""
        return hash((self.op, self.rq_id, self.tx_id, self.payload))

    def __repr__(self) -> str:
        """Return all fields with their names."""
        return "Packet(op={!r}, rq_id={}, tx_id={}, size={}, payload={!r})".format(
            self.op, self.rq_id, self.tx_id, self.size, self.payload
        )


def packet_from_wire(op: int, rq_id: int, tx_id: int, payload: bytes) -> Packet:
    """Return a packet of any type and length, without validation."""
    packet = _new(Packet)
    packet.op = OPS.get(op, op)
    packet.rq_id = rq_id
    packet.tx_id = tx_id
    packet.payload = payload
    return packet
