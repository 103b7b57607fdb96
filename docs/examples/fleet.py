"""List the guests of many hosts over ssh.

    python docs/examples/fleet.py root@HOST...

ssh reads options such as a port or a key from ~/.ssh/config, or from the file that --config
names.
"""

import argparse
import contextlib
import os
import socket
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor

from pyxs import Client, ConnectionError, PyXSError

STORE = "/var/run/xenstored/socket"


def listens(path):
    """Return whether somebody accepts connections; the file is there a little earlier."""
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(path) == 0


@contextlib.contextmanager
def tunnel(host, config=None, remote=STORE, patience=10):
    """Forward the socket of a host's daemon, and yield the path of the local socket."""
    with tempfile.TemporaryDirectory() as directory:
        local = os.path.join(directory, "socket")
        command = ["ssh", "-N", "-L", "{}:{}".format(local, remote)]
        command += ["-o", "ExitOnForwardFailure=yes", "-o", "BatchMode=yes"]
        command += ["-F", config] if config else []
        with subprocess.Popen(command + [host]) as ssh:
            try:
                deadline = time.monotonic() + patience
                while not listens(local):
                    if ssh.poll() is not None or time.monotonic() > deadline:
                        raise ConnectionError("{}: ssh did not connect".format(host))
                    time.sleep(0.05)
                yield local
            finally:
                ssh.terminate()


def guests(client):
    """Return the names of the domains of a host, by domid."""
    listed = sorted(int(domid) for domid in client.ls("/local/domain"))
    paths = ["/local/domain/{}/name".format(domid) for domid in listed]
    names = client.read_many(paths, default="(no name)")
    return dict(zip(listed, names.values()))


def ask(host, options):
    """Return the guests of one host, or the exception that prevents it."""
    try:
        forwarded = tunnel(host, options.config, options.remote)
        with forwarded as path, Client(path, socket_timeout=10) as client:
            return guests(client)
    except (PyXSError, OSError) as exc:
        return exc


def main():
    parser = argparse.ArgumentParser(description="list the guests of many hosts")
    parser.add_argument("hosts", nargs="+", metavar="HOST")
    parser.add_argument("--config", metavar="FILE", help="of ssh; by default ~/.ssh/config")
    parser.add_argument("--remote", default=STORE, metavar="PATH", help="the socket on the hosts")
    options = parser.parse_args()
    with ThreadPoolExecutor(16) as pool:
        for host, found in zip(
            options.hosts, pool.map(lambda host: ask(host, options), options.hosts)
        ):
            if isinstance(found, Exception):
                print("{}: {}".format(host, found))
                continue
            for domid, name in found.items():
                print("{}: {:>5}  {}".format(host, domid, name))


if __name__ == "__main__":
    main()
