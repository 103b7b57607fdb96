"""Daemons that send exactly what a test tells them to.

:class:`FakeServer` listens on a Unix socket. :class:`FakeConnection` and :class:`Bound` need no
listener and no thread.
"""

import contextlib
import os
import shutil
import socket
import tempfile
import threading

from common import PATIENCE
from pyxs._wire.framing import Framer
from pyxs._wire.packets import packet_from_wire
from pyxs.connection import Op, PacketConnection, SocketConnection, UnixSocketConnection

#: Well-formed payloads of replies; for all other requests it is ``OK``.
REPLIES = {
    Op.CONTROL: b"OK\0",
    Op.DIRECTORY: b"a\0b\0",
    Op.READ: b"value",
    Op.GET_PERMS: b"n0\0r5\0",
    Op.TRANSACTION_START: b"7\0",
    Op.GET_DOMAIN_PATH: b"/local/domain/1\0",
    Op.IS_DOMAIN_INTRODUCED: b"T\0",
    Op.DIRECTORY_PART: b"1\0a\0b\0\0",
    Op.GET_FEATURE: b"4\0",
    Op.GET_QUOTA: b"8\0",
}


def reply_to(request, payload=None, **fields):
    """Return the reply to a request; *fields* replaces fields of its header."""
    if payload is None:
        payload = REPLIES.get(request.op, b"OK\0")
    return packet_from_wire(
        fields.get("op", request.op),
        fields.get("rq_id", request.rq_id),
        fields.get("tx_id", request.tx_id),
        payload,
    )


def error_to(request, name, **fields):
    """Return an ERROR; *name* is its payload."""
    return reply_to(request, name, op=Op.ERROR, **fields)


def event(path, token):
    """Return a WATCH_EVENT."""
    return packet_from_wire(Op.WATCH_EVENT, 0, 0, path.encode() + b"\0" + token.encode() + b"\0")


def honest(peer):
    """Answer every request correctly: a script."""
    for request in peer:
        peer.send(reply_to(request))


def answer_one(peer):
    """Answer one request, and no more: a script."""
    peer.send(reply_to(peer.receive()))
    peer.linger()


class Peer:
    """The server's end of one connection; iterating yields the requests."""

    def __init__(self, sock):
        self._sock = sock
        self._stream = sock.makefile("rb")
        self.requests = []
        self.gone = threading.Event()  #: the client has closed its descriptor
        self.finished = threading.Event()  #: nothing more is sent

    def __iter__(self):
        return iter(self.receive, None)

    def receive(self):
        """Return the next request, or ``None`` when the client has closed."""
        try:
            header = self._stream.read(16)
            if len(header) < 16:
                self.gone.set()
                return None
            op, rq_id, tx_id, size = memoryview(header).cast("I")
            request = packet_from_wire(op, rq_id, tx_id, self._stream.read(size))
        except OSError:
            self.gone.set()
            return None
        self.requests.append(request)
        return request

    def has_more(self):
        """Return whether bytes of another request have arrived."""
        self._sock.setblocking(False)
        try:
            return bool(self._stream.peek())
        finally:
            self._sock.setblocking(True)

    def send(self, *messages):
        """Send packets, or raw bytes."""
        try:
            self._sock.sendall(b"".join(map(bytes, messages)))
        except OSError:
            self.gone.set()

    def send_byte_by_byte(self, *messages):
        for byte in b"".join(map(bytes, messages)):
            self.send(bytes([byte]))

    def linger(self):
        """Answer no more requests, and return when the client has closed."""
        for _request in self:
            pass

    def finish(self):
        """End the stream that the client receives."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_WR)
        self.finished.set()

    def close(self):
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        self._stream.close()
        self._sock.close()


class FakeServer:
    """A daemon that serves each connection by a script.

    Connections take the scripts in turn; further ones take the last script. A script is a
    function called with the :class:`Peer`; the stream ends when it returns.
    """

    def __init__(self, *scripts):
        self._scripts = list(scripts)
        self._directory = tempfile.mkdtemp(prefix="pyxs-fake-")
        self.path = os.path.join(self._directory, "socket")
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self.path)
        self._listener.listen(128)
        self.peers = []
        self._failures = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def _accept(self):
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            script = self._scripts[min(len(self.peers), len(self._scripts) - 1)]
            peer = Peer(sock)
            self.peers.append(peer)
            thread = threading.Thread(target=self._serve, args=(script, peer), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, script, peer):
        try:
            script(peer)
            peer.finish()
            peer.linger()
        except Exception as failure:
            self._failures.append(failure)
        finally:
            peer.close()

    @property
    def requests(self):
        """Return the requests of all connections."""
        return [request for peer in self.peers for request in peer.requests]

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._threads[0].join(PATIENCE)
        for thread in self._threads[1:]:
            thread.join(PATIENCE)
            assert not thread.is_alive(), "a script has not ended; is the client closed?"
        shutil.rmtree(self._directory)
        if self._failures:
            raise self._failures[0]


class FakeStream:
    """A stream that is no socket, and has only the four methods that pyxs asks for."""

    def __init__(self, connection):
        self._connection = connection
        self._framer = Framer()
        self._ours, self._theirs = socket.socketpair()

    def send(self, data):
        packets = self._framer.feed(data)
        self._connection.batches.append(len(packets))
        for packet in packets:
            self._connection.sent.append(packet)
            self.deliver(*self._connection.answer(packet))
        return len(data)

    def deliver(self, *messages):
        self._theirs.sendall(b"".join(map(bytes, messages)))

    def recv(self, size):
        return self._ours.recv(size)

    def fileno(self):
        return self._ours.fileno()

    def close(self):
        self._ours.close()
        self._theirs.close()


class FakeConnection(PacketConnection):
    """A connection whose daemon answers at once, in the thread that sends.

    :param answer: called with each packet sent; returns the packets that come back.
    """

    path = "fake"

    def __init__(self, answer=lambda packet: [reply_to(packet)]):
        self.answer = answer
        self.sent = []  # the packets, over all streams
        self.batches = []  # the number of packets in each call of send()
        self.streams = []

    def open(self):
        self.streams.append(FakeStream(self))
        return self.streams[-1]


class Bound(SocketConnection):
    """A connection over an open stream, whose other end the test has.

    :param stream: what ``open()`` returns, once.
    """

    path = "bound"

    def __init__(self, stream, socket_timeout=None):
        super().__init__(socket_timeout)
        self._streams = [stream]

    def open(self):
        return self._streams.pop()


class FakeBus(UnixSocketConnection):
    """A socket with the rules of XenBus: one request at a time, and ids mean nothing."""

    max_payload = 4080
    max_outstanding = 1
    trusts_ids = False
