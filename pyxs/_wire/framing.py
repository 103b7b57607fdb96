"""Framing without I/O: bytes in, messages out."""

from typing import List, Optional, Tuple

from ..exceptions import UnexpectedPacket
from .packets import HEADER, HEADER_SIZE, Frame, Packet, packet_from_wire

#: The longest reply taken. The OCaml daemon answers DIRECTORY with one reply of
#: any length, against the protocol.
REPLY_MAX = 1 << 20

_unpack_header = HEADER.unpack_from


class Framer:
    """Turns bytes, in pieces of any size, into messages.

    An exception at any instruction, as a signal handler may raise it, loses nothing:
    :meth:`frame` replaces :attr:`state` as a whole.

    :param limit: the longest payload taken, in bytes.
    """

    __slots__ = ("_limit", "refused", "state")

    def __init__(self, limit: int = REPLY_MAX) -> None:
        self._limit = limit
        #: The whole messages, which the owner takes from the left; the pieces that follow
        #: them, to which the owner appends; how many of these are counted, and the bytes
        #: still missing, after them, before the pieces make a message.
        self.state: Tuple[List[Frame], List[bytes], int, int] = ([], [], 0, 0)
        #: Why nothing more can be made of the stream, if so.
        self.refused: Optional[UnexpectedPacket] = None

    def feed(self, data: bytes) -> "List[Packet]":
        """Take in the next bytes of the stream; return the packets that are whole now.

        :raises UnexpectedPacket: the next header announces more than the limit. When packets
            came before it those are returned, and the exception is in *refused*.
        """
        self.state[1].append(data)
        frames = self.frame()
        if self.refused is not None and not frames:
            raise self.refused
        packets = [packet_from_wire(*frame) for frame in frames]
        frames.clear()
        return packets

    @property
    def begun(self) -> bool:
        """Whether bytes are here that are not part of a whole message yet."""
        return any(self.state[1])

    def frame(self) -> "List[Frame]":
        """Make messages of the pieces, and return those that are whole.

        To be called when all messages made before are taken.
        """
        frames, pieces, counted, missing = self.state
        if counted:
            missing -= sum(map(len, pieces[counted:]))
            if missing > 0:
                # Not joined yet: a reply that comes byte by byte costs no more than its length.
                self.state = frames, pieces, len(pieces), missing
                return frames
        data = b"".join(pieces)
        frames = []
        start, end = 0, len(data)
        stop = HEADER_SIZE
        while stop <= end:
            op, rq_id, tx_id, size = _unpack_header(data, start)
            if size > self._limit:
                self.refused = self._refusal(size)
                break
            body, stop = stop, stop + size
            if stop > end:
                break
            frames.append((op, rq_id, tx_id, data[body:stop]))
            start, stop = stop, stop + HEADER_SIZE
        if start < end:
            self.state = frames, [data[start:]], 1, stop - end
        else:
            self.state = frames, [], 0, 0
        return frames

    def _refusal(self, size: int) -> UnexpectedPacket:
        return UnexpectedPacket(
            "a message announces a payload of {} bytes, over the limit of {}".format(
                size, self._limit
            )
        )
