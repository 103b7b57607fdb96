"""Framing without I/O: bytes in, packets out."""

from typing import List, Optional

from ..exceptions import UnexpectedPacket
from .packets import HEADER, HEADER_SIZE, Packet, packet_from_wire

#: The longest reply taken. The OCaml daemon answers DIRECTORY with one reply of
#: any length, against the protocol.
REPLY_MAX = 1 << 20

_unpack_header = HEADER.unpack_from


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
