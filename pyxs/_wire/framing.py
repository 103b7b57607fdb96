"""Framing without I/O: bytes in, packets out."""

import collections
from typing import Deque, List, Optional, Tuple

from ..exceptions import UnexpectedPacket
from .packets import HEADER, HEADER_SIZE, Packet, packet_from_wire

#: The longest reply that pyxs accepts, in bytes. Against the protocol, the OCaml daemon
#: answers DIRECTORY with one reply of any length.
REPLY_MAX = 1 << 20

_unpack_header = HEADER.unpack_from


class Framer:
    """Turns bytes, in pieces of any size, into packets.

    A signal handler may raise an exception at any instruction. No bytes are lost then,
    because :meth:`frame` replaces :attr:`state` as a whole.

    :param limit: the longest payload to accept, in bytes.
    """

    __slots__ = ("_limit", "refused", "state")

    def __init__(self, limit: int = REPLY_MAX) -> None:
        self._limit = limit
        #: Five items: the complete packets; the pieces that are not framed yet, to which the
        #: owner appends; the number of pieces counted so far; their size in bytes; and the
        #: size at which they contain at least one message, or its header.
        self.state: Tuple[Deque[Packet], List[bytes], int, int, int] = (
            collections.deque(),
            [],
            0,
            0,
            0,
        )
        #: The error after which the rest of the stream cannot be framed, or ``None``.
        self.refused: Optional[UnexpectedPacket] = None

    def feed(self, data: bytes) -> "List[Packet]":
        """Add the next bytes of the stream and return the packets that are complete now.

        :raises UnexpectedPacket: the next header announces a payload over the limit. If
            packets came before it, this returns them, and :attr:`refused` has the exception.
        """
        self.state[1].append(data)
        packets = self.frame()
        if self.refused is not None and not packets:
            raise self.refused
        complete = list(packets)
        packets.clear()
        return complete

    @property
    def begun(self) -> bool:
        """Whether a part of a message has arrived."""
        return any(self.state[1])

    def frame(self) -> "Deque[Packet]":
        """Frame the pieces and return the complete packets.

        The caller must have removed all packets of the call before.
        """
        packets, pieces, counted, size, due = self.state
        if len(pieces) == 1:
            data = pieces[0]
        else:
            # The pieces are joined only when they contain a message or its header, so that
            # a long reply in many small pieces is not copied again for each.
            size += sum(map(len, pieces[counted:]))
            if size < due:
                self.state = packets, pieces, len(pieces), size, due
                return packets
            data = b"".join(pieces)
        packets = collections.deque()
        start, end = 0, len(data)
        stop = HEADER_SIZE
        while stop <= end:
            op, rq_id, tx_id, size = _unpack_header(data, start)
            if size > self._limit:
                self.refused = self._refusal(size)
                break
            body = stop
            stop += size
            if stop > end:
                break
            packets.append(packet_from_wire(op, rq_id, tx_id, data[body:stop]))
            start = stop
            stop += HEADER_SIZE
        rest = end - start
        if rest:
            self.state = packets, [data[start:]], 1, rest, stop - start
        else:
            self.state = packets, [], 0, 0, 0
        return packets

    def _refusal(self, size: int) -> UnexpectedPacket:
        return UnexpectedPacket(
            "a header announces a payload of {} bytes, over the limit of {}".format(
                size, self._limit
            )
        )
