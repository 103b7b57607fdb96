"""A client without checks: it sends any request, and returns every message it receives."""

import socket
import struct

from common import PATIENCE
from pyxs._wire.framing import Framer
from pyxs._wire.packets import Op, Packet


class Wire:
    """A connection to a daemon's socket."""

    def __init__(self, path):
        self.path = path
        self.sock = None
        self.reconnect()

    def reconnect(self):
        """Open a new connection, and forget all of the old one."""
        self.close()
        self.sock = socket.socket(socket.AF_UNIX)
        # Not settimeout(): the C daemon listens with a backlog of 1, and when that
        # is full a socket with a time-out gets EAGAIN at once.
        for option in (socket.SO_SNDTIMEO, socket.SO_RCVTIMEO):
            self.sock.setsockopt(socket.SOL_SOCKET, option, struct.pack("@ll", PATIENCE, 0))
        self.sock.connect(self.path)
        self._framer = Framer()
        self._packets = []
        self._rq_id = 0
        self.events = []  # their payloads, in order

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self.close()

    def close(self):
        if self.sock is not None:
            self.sock.close()

    def send(self, op, payload, tx_id=0):
        """Send a request of any type with any payload and return its id."""
        self.sock.sendall(self._message(op, payload, tx_id))
        return self._rq_id

    def send_all(self, requests):
        """Send requests, pairs of type and payload, at once."""
        self.sock.sendall(b"".join(self._message(op, payload, 0) for op, payload in requests))

    def _message(self, op, payload, tx_id):
        self._rq_id += 1
        return struct.pack("=4I", op, self._rq_id, tx_id, len(payload)) + payload

    def receive(self):
        """Return the next message, ``None`` at the end of the stream."""
        while not self._packets:
            try:
                data = self.sock.recv(1 << 16)
            except ConnectionResetError:
                return None
            if not data:
                return None
            self._packets += self._framer.feed(data)
        return self._packets.pop(0)

    def ask(self, op, payload, tx_id=0):
        """Send a request and return its reply; add events that came before it to ``events``."""
        rq_id = self.send(op, payload, tx_id)
        while True:
            packet = self.receive()
            assert packet is not None, "the daemon has ended the connection"
            if packet.op != Op.WATCH_EVENT:
                assert (packet.rq_id, packet.tx_id) == (rq_id, tx_id)
                return packet
            assert (packet.rq_id, packet.tx_id) == (0, 0)
            self.events.append(packet.payload)

    def get(self, op, payload, tx_id=0):
        """Return the payload of the reply, or the name of the errno as ``str``."""
        reply = self.ask(op, payload, tx_id)
        if reply.op == Op.ERROR:
            return reply.payload[:-1].decode("ascii")
        assert reply.op == op
        return reply.payload

    def heard(self):
        """Return the events of all that has happened so far, and forget them."""
        # The daemon sends in order: queued events come before this reply.
        self.ask(Op.GET_DOMAIN_PATH, b"0\0")
        events, self.events = self.events, []
        return events

    def ended(self):
        """Return whether the daemon has closed the connection; skip what it sent before."""
        while True:
            packet = self.receive()
            if packet is None:
                return True
            self.events.append(packet.payload)


__all__ = ["Op", "Packet", "Wire"]
