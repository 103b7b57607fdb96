"""Framing without I/O: bytes in, messages out."""

from ..exceptions import UnexpectedPacket
from .packets import HEADER, HEADER_SIZE, Packet, packet_from_wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import List, Optional, Tuple

    from .._annotations.types import Frame

#: The longest reply that pyxs accepts, in bytes. Against the protocol, the OCaml daemon
#: answers DIRECTORY with one reply of any length.
REPLY_MAX = 1 << 20

_unpack_header = HEADER.unpack_from


class Framer:
    """Turns bytes, in pieces of any size, into messages.

    A signal handler may raise an exception at any instruction. No bytes are lost then,
    because :meth:`frame` replaces :attr:`state` as a whole.

    :param limit: the longest payload to accept, in bytes.
    """

    __slots__ = ("_limit", "refused", "state")

    def __init__(self, limit: int = REPLY_MAX) -> None:
        self._limit = limit
        #: Four items: the complete messages, which the owner removes from the left; the pieces
        #: after them, to which the owner appends; the number of pieces counted so far; and the
        #: bytes still missing, after those, before the pieces make a message or its header.
        self.state: Tuple[List[Frame], List[bytes], int, int] = ([], [], 0, 0)
        #: The error after which the rest of the stream cannot be framed, or ``None``.
        self.refused: Optional[UnexpectedPacket] = None

    def feed(self, data: bytes) -> "List[Packet]":
        """Add the next bytes of the stream and return the packets that are complete now.

        :raises UnexpectedPacket: the next header announces a payload over the limit. If
            packets came before it, this returns them, and :attr:`refused` has the exception.
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
        """Whether a part of a message has arrived."""
        return any(self.state[1])

    def frame(self) -> "List[Frame]":
        """Frame the pieces and return the complete messages.

        The caller must have removed all messages of the call before.
        """
        frames, pieces, counted, missing = self.state
        if counted:
            missing -= sum(map(len, pieces[counted:]))
            if missing > 0:
                # The pieces are joined only when they contain a message or its header, so
                # that a long reply in many small pieces is not copied again for each.
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
            "a header announces a payload of {} bytes, over the limit of {}".format(
                size, self._limit
            )
        )
