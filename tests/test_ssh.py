"""docs/howto/ssh.rst against a real sshd on loopback."""

import getpass
import os
import shutil
import socket
import subprocess
import sys

import pytest

from common import PATIENCE
from conftest import skip_or_fail
from pyxs import Client
from test_examples import EXAMPLES, run

SSHD = shutil.which("sshd", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin"]))

SERVER = """\
Port {port}
ListenAddress 127.0.0.1
HostKey {directory}/host_key
AuthorizedKeysFile {directory}/user_key.pub
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
AllowStreamLocalForwarding yes
"""

USER = """\
Host *
    HostName 127.0.0.1
    Port {port}
    User {user}
    IdentityFile {directory}/user_key
    IdentitiesOnly yes
    IdentityAgent none
    UserKnownHostsFile {directory}/known_hosts
    GlobalKnownHostsFile /dev/null
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def ssh_config(tmp_path):
    """The ssh configuration that leads any host name to an sshd of the test."""
    if SSHD is None or shutil.which("ssh") is None:
        skip_or_fail("sshd or ssh is missing: apt-get install openssh-server openssh-client")
    for name in ("host_key", "user_key"):
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / name)], check=True
        )
    if os.geteuid() == 0:
        os.makedirs("/run/sshd", exist_ok=True)  # sshd run by root needs this directory
    values = {"port": free_port(), "directory": tmp_path, "user": getpass.getuser()}
    (tmp_path / "sshd_config").write_text(SERVER.format(**values))
    (tmp_path / "ssh_config").write_text(USER.format(**values))
    host_key = (tmp_path / "host_key.pub").read_text()
    (tmp_path / "known_hosts").write_text("[127.0.0.1]:{port} {key}".format(key=host_key, **values))
    log = tmp_path / "sshd.log"
    command = [SSHD, "-D", "-f", str(tmp_path / "sshd_config"), "-E", str(log)]
    with subprocess.Popen(command) as sshd:
        try:
            wait_until_it_listens(sshd, values["port"], log)
            yield str(tmp_path / "ssh_config")
        finally:
            sshd.terminate()


def wait_until_it_listens(sshd, port, log):
    while True:
        assert sshd.poll() is None, log.read_text()
        with socket.socket() as probe:
            probe.settimeout(PATIENCE)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return


@pytest.fixture
def tunnel(monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLES))
    from fleet import tunnel

    return tunnel


def test_the_store_of_another_host_is_used_as_ones_own(xenstored, xenstore, ssh_config, tunnel):
    xenstore.write("/vm/web", "on")
    with tunnel("host", ssh_config, xenstored.path) as path:
        assert path != xenstored.path
        with Client(path, socket_timeout=PATIENCE) as far, far.monitor() as monitor:
            assert far.read("/vm/web") == "on"
            far.run_transaction(lambda t: t.write("/vm/web", "off"))
            assert xenstore.read("/vm/web") == "off"
            monitor.watch("/vm/web", "token")
            assert monitor.wait(timeout=PATIENCE) == ("/vm/web", "token")
            xenstore.write("/vm/web", "gone")
            assert monitor.wait(timeout=PATIENCE) == ("/vm/web", "token")
            assert far.wait_for("/vm/web", "gone", timeout=PATIENCE) == "gone"


def test_the_command_reaches_the_store_of_another_host(xenstored, xenstore, ssh_config, tunnel):
    xenstore.write("/vm/web", "on")
    with tunnel("host", ssh_config, xenstored.path) as path:
        shown = subprocess.run(
            [sys.executable, "-m", "pyxs", "read", "/vm/web"],
            env=dict(os.environ, XENSTORED_PATH=path),
            stdout=subprocess.PIPE,
            check=True,
        ).stdout
    assert shown == b"on\n"


def test_the_guests_of_a_fleet_are_listed(xenstored, xenstore, ssh_config):
    xenstore.write("/local/domain/3/name", "web")
    xenstore.mkdir("/local/domain/12")
    hosts = ["host{}".format(number) for number in range(4)]
    lines = run("fleet.py", "--config", ssh_config, "--remote", xenstored.path, *hosts).splitlines()
    expected = []
    for host in hosts:
        expected += ["{}:     3  web".format(host), "{}:    12  (no name)".format(host)]
    assert [line for line in lines if "     0  " not in line] == expected


def test_a_host_that_cannot_be_reached_is_named(xenstored, ssh_config, tmp_path):
    (tmp_path / "user_key").unlink()
    command = [sys.executable, str(EXAMPLES / "fleet.py"), "--config", ssh_config, "host"]
    shown = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True
    ).stdout
    assert shown == b"host: host: ssh did not connect\n"
