"""Connects a Unix socket with a guest's end of its ring.

The ring is ``struct xenstore_domain_interface`` of *xs_wire.h*: two buffers of
1024 bytes, and for each the counts of all bytes consumed and produced so far.
"""

import mmap
import os
import socket
import struct
import threading

_SIZE = 1024  # XENSTORE_RING_SIZE
_REQUESTS, _RESPONSES = 0, _SIZE  # the offsets of the buffers; the counts follow them:
_REQ_CONS, _REQ_PROD, _RSP_CONS, _RSP_PROD = range(4)
_FIRST_INTERDOMAIN_PORT = 1000  # as in xen_stubs.c

_PAUSE = 0.0005  # seconds between two checks of the ring


class RingSocket:
    """A Unix socket that serves one connection at a time over a domain's ring.

    :param root: the daemon's directory.
    :param domid: a domain that has been introduced.
    """

    def __init__(self, root, domid):
        self.path = os.path.join(root, "guest-{}".format(domid))
        self.ring = os.path.join(root, "ring-{}".format(domid))
        self._port = struct.pack("=i", _FIRST_INTERDOMAIN_PORT + domid)
        with open(self.ring, "r+b") as file:
            self._page = mmap.mmap(file.fileno(), 4096)
        # A memoryview of words writes each word in one step. struct would first set it to 0;
        # the daemon could read that as a count out of range and disconnect the domain.
        self._counts = memoryview(self._page)[2 * _SIZE : 2 * _SIZE + 16].cast("I")
        self._events = os.open(os.path.join(root, "events"), os.O_RDWR | os.O_NONBLOCK)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self.path)
        self._listener.listen()
        self._listener.settimeout(_PAUSE)
        self._ended = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self):
        self._ended = True
        self._thread.join()
        self._listener.close()
        os.close(self._events)
        self._counts.release()
        self._page.close()

    def _run(self):
        while not self._ended:
            try:
                connection, _ = self._listener.accept()
            except socket.timeout:
                continue
            with connection:
                connection.settimeout(_PAUSE)
                self._serve(connection)

    def _serve(self, connection):
        to_daemon = b""
        while not self._ended:
            try:
                if not to_daemon:
                    to_daemon = connection.recv(65536)
                    if not to_daemon:
                        return
            except socket.timeout:
                pass
            except OSError:
                return
            to_daemon = to_daemon[self._put(to_daemon) :]
            from_daemon = self._take()
            if from_daemon:
                connection.settimeout(None)
                connection.sendall(from_daemon)
                connection.settimeout(_PAUSE)

    def _put(self, data):
        """Write as many bytes of the data into the ring as fit, and return their number."""
        produced, consumed = self._counts[_REQ_PROD], self._counts[_REQ_CONS]
        count = min(len(data), _SIZE - (produced - consumed) % 2**32)
        for number in range(count):
            self._page[_REQUESTS + (produced + number) % _SIZE] = data[number]
        self._advance(_REQ_PROD, produced, count)
        return count

    def _take(self):
        """Remove and return all bytes of the ring."""
        produced, consumed = self._counts[_RSP_PROD], self._counts[_RSP_CONS]
        count = (produced - consumed) % 2**32
        data = bytes(
            self._page[_RESPONSES + (consumed + number) % _SIZE] for number in range(count)
        )
        self._advance(_RSP_CONS, consumed, count)
        return data

    def _advance(self, which, before, count):
        if count:
            self._counts[which] = (before + count) % 2**32
            os.write(self._events, self._port)
