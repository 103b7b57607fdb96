"""A connection class of your own: XenStore over TCP.

On the host of the daemon, forward a port of the loopback interface:

    socat TCP-LISTEN:7007,bind=127.0.0.1,fork UNIX-CONNECT:/var/run/xenstored/socket

Then, on the same host or through an ssh tunnel:

    python docs/examples/tcp_connection.py 127.0.0.1 7007
"""

import argparse
import socket

from pyxs import Client
from pyxs.connection import SocketConnection


class TCPConnection(SocketConnection):
    """A connection to a daemon's socket that is forwarded to a TCP port."""

    def __init__(self, host, port, socket_timeout=None):
        super().__init__(socket_timeout)
        self.host = host
        self.port = port
        self.path = "{}:{}".format(host, port)  # for messages

    def open(self):
        sock = socket.create_connection((self.host, self.port), self.socket_timeout)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # requests are small
        return sock


def main():
    parser = argparse.ArgumentParser(description="list the guests of a daemon behind a TCP port")
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    args = parser.parse_args()
    with Client(connection=TCPConnection(args.host, args.port)) as client:
        for domid in client.ls("/local/domain"):
            name = client.read("/local/domain/{}/name".format(domid), default="(no name)")
            print("{:>5}  {}".format(domid, name))


if __name__ == "__main__":
    main()
