"""``pyxs devices``: what the table shows, and how it follows changes."""

import contextlib
import errno
import fcntl
import json
import os
import pty
import select
import struct
import termios
import time

import pytest

from command_lines import start_pyxs
from common import PATIENCE
from pyxs import Client, PyXSError, cli
from pyxs._cli.device_states import word
from pyxs._cli.device_tree import Devices

LONG = "a very long name of a guest that somebody has made up for the third test in the row"

#: A host: domid, name, device, domid of the backend, states of the frontend and the backend.
HOST = [
    (1, "web", "vif/0", 0, "4", "4"),
    (1, "web", "vbd/51712", 3, "3", "2"),
    (2, LONG, "vif/0", 0, "1", "2"),
    (2, LONG, "vif/10", 0, "4", "4"),
    (2, LONG, "vif/9", 0, "7", "4"),
    (7, "d\u00e9p\u00f4t \u65e5\u672c\u8a9e", "vbd/768", 0, "6", "6"),
]

WIDE = """\
DOMID  NAME                                                                                 DEVICE     FRONTEND           BACKEND
    1  web                                                                                  vbd/51712  Initialised    !=  InitWait in 3
    1  web                                                                                  vif/0      Connected          Connected
    2  a very long name of a guest that somebody has made up for the third test in the row  vif/0      Initialising   !=  InitWait
    2  a very long name of a guest that somebody has made up for the third test in the row  vif/9      Reconfiguring  !=  Connected
    2  a very long name of a guest that somebody has made up for the third test in the row  vif/10     Connected          Connected
    7  d\u00e9p\u00f4t \u65e5\u672c\u8a9e                                                                         vbd/768    Closed             Closed
    9  -                                                                                    vif/0      missing        !=  Closing
"""  # noqa: E501  # a picture

NARROW = """\
DOMID  NAME                          DEVICE     FRONTEND           BACKEND
    1  web                           vbd/51712  Initialised    !=  InitWait in 3
    1  web                           vif/0      Connected          Connected
    2  a very long name of a gue...  vif/0      Initialising   !=  InitWait
    2  a very long name of a gue...  vif/9      Reconfiguring  !=  Connected
    2  a very long name of a gue...  vif/10     Connected          Connected
    7  d\u00e9p\u00f4t \u65e5\u672c\u8a9e                  vbd/768    Closed             Closed
    9  -                             vif/0      missing        !=  Closing
"""


def frontend(domid, device):
    return "/local/domain/{}/device/{}".format(domid, device)


def backend(domid, device, of):
    class_, number = device.split("/")
    return "/local/domain/{}/backend/{}/{}/{}".format(of, class_, domid, number)


def nodes(domid, name, device, of, front_state, back_state):
    front, back = frontend(domid, device), backend(domid, device, of)
    return {
        "/local/domain/{}/name".format(domid): name,
        front + "/backend": back,
        front + "/backend-id": of,
        front + "/state": front_state,
        back + "/frontend": front,
        back + "/state": back_state,
        back + "/mac": "00:16:3e:00:00:01",
    }


def fill(client):
    for device in HOST:
        client.write_many(nodes(*device))
    client.write_many(
        {
            # No device: a guest lists its event channel for suspending here.
            "/local/domain/1/device/suspend/event-channel": "12",
            "/local/domain/1/data/state": "4",
            "/local/domain/0/backend/vif/9/0/state": "5",
        }
    )


def on_terminal(columns, rows=24):
    """Return both ends of a terminal of that size."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))
    return ours, theirs


class Screen:
    """``pyxs devices`` on a terminal."""

    def __init__(self, environ, *words, columns=80, rows=24):
        self._terminal, theirs = on_terminal(columns, rows)
        self.process = start_pyxs("devices", *words, env=environ, stdout=theirs)
        os.close(theirs)
        self.text = ""

    def until(self, wanted):
        """Read until *wanted* has been shown."""
        deadline = time.monotonic() + PATIENCE
        while wanted not in self.text:
            left = max(0, deadline - time.monotonic())
            assert select.select([self._terminal], [], [], left)[0], (wanted, self.text)
            self.text += os.read(self._terminal, 65536).decode().replace("\r\n", "\n")

    def rest(self):
        with contextlib.suppress(OSError):  # EIO: the program has ended
            while True:
                self.text += os.read(self._terminal, 65536).decode().replace("\r\n", "\n")
        return self.text

    def end(self):
        self.process.kill()
        self.process.communicate()
        os.close(self._terminal)


@pytest.fixture
def screen():
    screens = []

    def make(*args, **options):
        screens.append(Screen(*args, **options))
        return screens[-1]

    yield make
    for each in screens:
        each.end()


@pytest.fixture
def shown(xenstored, capfd):
    """Run the command in this process; return the lines that it prints."""

    def run(*words):
        assert cli.main(("devices",) + words) == 0
        return capfd.readouterr().out.splitlines()

    return run


def test_words():
    assert [word(str(number)) for number in (0, 1, 2, 3, 4, 5, 6, 7, 8)] == [
        "Unknown",
        "Initialising",
        "InitWait",
        "Initialised",
        "Connected",
        "Closing",
        "Closed",
        "Reconfiguring",
        "Reconfigured",
    ]
    assert {word(value) for value in ("9", "04", "4 ", "", "four")} == {""}


# -- the table -----------------------------------------------------------------------------


@pytest.mark.parametrize(("columns", "picture"), [(80, NARROW), (160, WIDE)])
def test_a_terminal(xenstored, xenstore, screen, columns, picture):
    fill(xenstore)
    assert screen(os.environ, columns=columns).rest() == picture
    assert max(map(len, picture.splitlines())) <= columns


def test_a_pipe_gets_all_of_the_names(shown, xenstore):
    fill(xenstore)
    assert shown() == WIDE.splitlines()


def test_a_host_without_devices(shown, xenstore):
    header = ["DOMID  NAME  DEVICE  FRONTEND    BACKEND"]
    assert shown() == header
    xenstore.write("/local/domain/0/name", "Domain-0")
    assert shown() == header
    assert shown("--json") == []


def test_an_end_is_missing(shown, xenstore):
    xenstore.write_many(nodes(1, "a", "vif/0", 0, "4", "4"))
    xenstore.rm(backend(1, "vif/0", of=0))
    xenstore.write_many(nodes(2, "b", "vif/0", 0, "4", "4"))
    xenstore.rm(frontend(2, "vif/0"))
    xenstore.write_many(nodes(3, "c", "vif/0", 0, "4", "4"))
    xenstore.rm(frontend(3, "vif/0") + "/state")
    assert [line.split(None, 2)[2] for line in shown()[1:]] == [
        "vif/0   Connected  !=  missing",
        "vif/0   missing    !=  Connected",
        "vif/0   no state   !=  Connected",
    ]


def test_a_console_that_has_no_state_of_its_own_is_left_out(shown, xenstore):
    xenstore.write_many(nodes(1, "a", "vif/0", 0, "4", "4"))
    for class_, place in (("console", "console"), ("vuart", "vuart/0")):
        back = "/local/domain/0/backend/{}/1/0".format(class_)
        front = "/local/domain/1/" + place
        xenstore.write_many({front + "/tty": "/dev/pts/1", back + "/frontend": front})
        xenstore.write(back + "/state", "1")
    xenstore.write_many(nodes(1, "a", "console/1", 0, "4", "4"))  # as any other device
    assert [line.split()[2] for line in shown()[1:]] == ["console/1", "vif/0"]


def test_a_backend_alone_has_the_name_of_its_frontend(shown, xenstore):
    xenstore.write("/local/domain/0/backend/qdisk/1/768/state", "4")
    xenstore.write("/local/domain/0/backend/qdisk/1/768/frontend", frontend(1, "vbd/768"))
    xenstore.write("/local/domain/0/backend/qdisk/2/5/state", "4")
    for wrong in (frontend(3, "vbd/5"), frontend(2, "vbd/x"), frontend(2, "vbd"), "", "/elsewhere"):
        xenstore.write("/local/domain/0/backend/qdisk/2/5/frontend", wrong)
        assert [line.split()[2:] for line in shown()[1:]] == [
            ["vbd/768", "missing", "!=", "Connected"],
            ["qdisk/5", "missing", "!=", "Connected"],
        ]


def test_a_guest_cannot_claim_the_backend_of_another(shown, xenstore):
    xenstore.write_many(nodes(1, "honest", "vif/0", 0, "4", "4"))
    xenstore.write_many(nodes(2, "liar", "vif/0", 0, "4", "1"))
    xenstore.write(frontend(2, "vif/0") + "/backend", backend(1, "vif/0", of=0))
    assert [line.split() for line in shown()[1:]] == [
        ["1", "honest", "vif/0", "Connected", "Connected"],
        ["2", "liar", "vif/0", "Connected", "!=", "missing"],
        ["2", "liar", "vif/0", "missing", "!=", "Initialising"],
    ]


@pytest.mark.parametrize(
    "text", ["\x1b[2J\x1b]0;owned\x07", "\u202egnp.exe", "\x9b31m", "\udcff\n"]
)
def test_no_control_character_reaches_the_terminal(shown, xenstore, text):
    xenstore.write_many(nodes(1, text, "vif/0", 0, text, "4"))
    xenstore.write(frontend(1, "vif/0") + "/backend", text)
    lines = shown()
    assert len(lines) == 3
    assert all(line.isprintable() for line in lines)
    for line in shown("--json"):
        assert line.isprintable()
        json.loads(line)


def test_json(shown, xenstore):
    fill(xenstore)
    lines = [json.loads(line) for line in shown("--json")]
    assert len(lines) == len(HOST) + 1
    assert lines[0] == {
        "domid": 1,
        "name": "web",
        "device": "vbd/51712",
        "frontend": "/local/domain/1/device/vbd/51712",
        "frontend_state": "Initialised",
        "backend": "/local/domain/3/backend/vbd/1/51712",
        "backend_state": "InitWait",
        "mismatch": True,
    }
    assert (lines[-1]["frontend"], lines[-1]["backend_state"]) == (None, "Closing")


def test_a_guest_may_not_look(xenstored, xenstore, capfd):
    fill(xenstore)
    assert cli.main(["devices", "--socket", xenstored.socket_for(7)]) == 1
    assert capfd.readouterr().err.startswith(
        "pyxs devices: /local/domain: " + os.strerror(errno.EACCES)
    )


# -- changes -------------------------------------------------------------------------------


def test_what_is_read_again_is_what_reading_all_gives(xenstored, xenstore):
    known = Devices()
    fill(xenstore)
    known.read(xenstore)
    changes = [
        ("rm", "/local/domain/2/device/vif/10"),
        ("rm", "/local/domain/1/device/vif"),
        ("rm", "/local/domain/7"),
        ("rm", "/local/domain/9/device"),
        ("write", "/local/domain/2/device/vif/9/state", "4"),
        ("write", "/local/domain/2/device/vif/9/backend", "nonsense"),
        ("write", "/local/domain/0/backend/vif/2/9/state", "4"),
        ("write", "/local/domain/9/device/vif/0/backend", "/local/domain/0/backend/vif/9/0"),
        ("write", "/local/domain/0/backend/vif/9/0/frontend", "/local/domain/9/device/vif/0"),
        ("write", "/local/domain/2/name", "renamed"),
        ("rm", "/local/domain/2/name"),
        ("rm", "/local/domain/0/backend"),
        ("rm", "/local"),
    ]
    for method, path, *value in changes:
        with contextlib.suppress(PyXSError):
            getattr(xenstore, method)(path, *value)
        known.read(
            xenstore, [path if path != "/local" else "/local/domain", "/local/domain/1/data"]
        )
        anew = Devices()
        anew.read(xenstore)
        assert known.all() == anew.all(), path


def test_changes_are_printed_as_they_come(daemon):
    with Client(daemon.path) as client:
        client.write_many(nodes(1, "web", "vif/0", 0, "4", "4"))
        with start_pyxs("devices", "--watch", env=daemon.environ) as process:
            try:
                header, row = process.stdout.readline(), process.stdout.readline()
                assert header.split() == [b"DOMID", b"NAME", b"DEVICE", b"FRONTEND", b"BACKEND"]
                assert row.split() == [b"1", b"web", b"vif/0", b"Connected", b"Connected"]

                def row_after(change, *args):
                    change(*args)
                    return process.stdout.readline().decode().split()

                assert row_after(client.write, frontend(1, "vif/0") + "/state", "5") == [
                    *("1", "web", "vif/0", "Closing", "!=", "Connected")
                ]
                client.write(frontend(1, "vif/0") + "/ring-ref", "7")  # nothing that is shown
                assert row_after(client.rm, frontend(1, "vif/0"))[3:] == [
                    *("missing", "!=", "Connected")
                ]
                assert row_after(client.rm, backend(1, "vif/0", of=0))[3:] == [
                    "missing",
                    "!=",
                    "missing",
                ]
                assert row_after(client.write, frontend(2, "vbd/768") + "/state", "1") == [
                    *("2", "-", "vbd/768", "Initialising", "!=", "missing")
                ]
            finally:
                process.kill()


def test_changes_as_json(xenstored, xenstore):
    xenstore.write_many(nodes(1, "web", "vif/0", 0, "4", "4"))
    with start_pyxs("devices", "-w", "--json") as process:
        try:
            assert not json.loads(process.stdout.readline().decode())["mismatch"]
            xenstore.write(backend(1, "vif/0", of=0) + "/state", "6")
            changed = json.loads(process.stdout.readline().decode())
        finally:
            process.kill()
    assert (changed["frontend_state"], changed["backend_state"]) == ("Connected", "Closed")


def test_a_terminal_shows_all_devices_anew(xenstored, xenstore, screen):
    fill(xenstore)
    live = screen(os.environ, "--watch", columns=80)
    live.until(NARROW.splitlines()[-1])
    xenstore.write(frontend(2, "vif/0") + "/state", "4")
    live.until("vif/0      Connected      !=  InitWait")
    _, first, second = live.text.split("\x1b[H\x1b[2J")
    assert first == NARROW
    assert second.startswith("DOMID  NAME")


def test_mismatches_come_first_where_not_all_devices_fit(xenstored, xenstore, screen):
    for domid in range(1, 30):
        state = "4" if domid != 20 else "2"
        xenstore.write_many(nodes(domid, "guest", "vif/0", 0, "4", state))
    live = screen(os.environ, "--watch", rows=10)
    live.until("22 more")
    lines = live.text.splitlines()
    assert len(lines) == 9
    assert [line.split()[0] for line in lines[1:4]] == ["20", "1", "2"]
