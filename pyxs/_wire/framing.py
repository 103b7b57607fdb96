"""Framing without I/O: bytes in, packets out."""

import collections
from typing import Deque, List, Optional, Tuple

from ..exceptions import UnexpectedPacket
from .packets import HEADER, HEADER_SIZE, Packet, packet_from_wire

#: The longest reply taken. The OCaml daemon answers DIRECTORY with one reply of
#: any length, against the protocol.
REPLY_MAX = 1 << 20

_unpack_header = HEADER.unpack_from


class Framer:
    """Turns bytes, in pieces of any size, into packets.

    An exception at any instruction, as a signal handler may raise it, loses nothing:
    :meth:`frame` replaces :attr:`state` as a whole.

    :param limit: the longest payload taken, in bytes.
    """

    __slots__ = ("_limit", "refused", "state")

    def __init__(self, limit: int = REPLY_MAX) -> None:
        self._limit = limit
        #: The packets that are whole; the pieces that are not framed yet, to which the
        #: owner appends; how many of these are counted, their bytes, and the bytes that
        #: make it worthwhile to frame them.
        self.state: Tuple[Deque[Packet], List[bytes], int, int, int] = (
            collections.deque(),
            [],
            0,
            0,
            0,
        )
        #: Why nothing more can be made of the stream, if so.
        self.refused: Optional[UnexpectedPacket] = None

    def feed(self, data: bytes) -> "List[Packet]":
        """Take in the next bytes of the stream; return the packets that are whole now.

        :raises UnexpectedPacket: the next header announces more than the limit. When packets
            came before it those are returned, and the exception is in *refused*.
        """
        self.state[1].append(data)
        packets = self.frame()
        if self.refused is not None and not packets:
            raise self.refused
        whole = list(packets)
        packets.clear()
        return whole

    @property
    def begun(self) -> bool:
        """Whether bytes are here that are not part of a whole packet yet."""
        return any(self.state[1])

    def frame(self) -> "Deque[Packet]":
        """Make packets of the pieces, and return those that are whole.

        To be called when all packets made before are taken.
        """
        packets, pieces, counted, size, due = self.state
        if len(pieces) == 1:
            data = pieces[0]
        else:
            # Not joined one by one: a reply that comes byte by byte costs no more
            # than its length.
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
            "a message announces a payload of {} bytes, over the limit of {}".format(
                size, self._limit
            )
        )
