"""A guest's end of its ring, served as a Unix socket.

The ring is ``struct xenstore_domain_interface`` of *xs_wire.h*: two buffers of
1024 bytes, each with the counts of bytes ever consumed and ever produced.
"""

import mmap
import os
import socket
import struct
import threading

_SIZE = 1024  # XENSTORE_RING_SIZE
_REQUESTS, _RESPONSES = 0, _SIZE  # where the buffers begin, and behind them the counts:
_REQ_CONS, _REQ_PROD, _RSP_CONS, _RSP_PROD = range(4)
_FIRST_INTERDOMAIN_PORT = 1000  # as in xen_stubs.c

_PAUSE = 0.0005  # seconds between two looks at the ring


class RingSocket:
    """A Unix socket that leads to a domain's ring, for one connection at a time.

    :param root: the daemon's directory.
    :param domid: a domain that has been introduced.
    """

    def __init__(self, root, domid):
        self.path = os.path.join(root, "guest-{}".format(domid))
        self.ring = os.path.join(root, "ring-{}".format(domid))
        self._port = struct.pack("=i", _FIRST_INTERDOMAIN_PORT + domid)
        with open(self.ring, "r+b") as file:
            self._page = mmap.mmap(file.fileno(), 4096)
        # A memoryview of words writes each at once. struct would zero it first, and to the
        # daemon that is a count out of range, for which it gives up the domain.
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
        """Put as much of the data into the ring as it has room for; return how much."""
        produced, consumed = self._counts[_REQ_PROD], self._counts[_REQ_CONS]
        count = min(len(data), _SIZE - (produced - consumed) % 2**32)
        for number in range(count):
            self._page[_REQUESTS + (produced + number) % _SIZE] = data[number]
        self._advance(_REQ_PROD, produced, count)
        return count

    def _take(self):
        """Take all out of the ring that is there."""
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
