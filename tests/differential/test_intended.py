"""The C extension and pyxs differ exactly as ``docs/xs-differences.csv`` says."""

import csv
import pathlib
import subprocess
import sys
import textwrap

import pytest

import xen_utils

TABLE = pathlib.Path(__file__).parent.parent.parent / "docs" / "xs-differences.csv"

#: The beginning of each script. Each call prints its outcome as one line.
PRELUDE = """
import os, select, signal, socket, struct, sys, threading, time

def call(function, *args, **kwargs):
    try:
        result = function(*args, **kwargs)
    except Exception as exc:
        result = type(exc).__name__, exc.args if type(exc) is Error else "..."
    print(result)

def settle(handle):
    handle.get_domain_path(0)  # its reply comes after all events that were sent before

def kill_daemon():
    os.kill(int(os.environ["DAEMON"]), signal.SIGKILL)
    time.sleep(0.2)

h = xs()
"""

#: By the first column: the daemon, a script, and its output with the extension and with pyxs.
SCRIPTS = {
    "``0`` or ``None`` as transaction": (
        "c",
        """
        call(h.read, 0, "/nothing")
        call(h.read, None, "/nothing")
        call(h.transaction_end, 0)
        """,
        ["('TypeError', '...')"] * 3,
        ["None", "None", "('Error', (2, 'No such file or directory'))"],
    ),
    "``ls`` or ``get_permissions``, a reply over 4096 bytes (oxenstored)": (
        "ocaml",
        """
        for number in range(200):
            h.mkdir("", "/d/" + "n" * 40 + str(number))
        g = xs()
        g.set_permissions("", "/d", [{"dom": 0}] + [{"dom": -1}] * 300)
        for ask in h.ls, g.get_permissions:
            try:
                print(len(ask("", "/d")))
            except Error:
                print("an error")
        call(h.read, "", "/d")
        call(g.read, "", "/d")
        """,
        ["an error"] * 2 + ["('Error', (9, 'Bad file descriptor'))"] * 2,
        ["200", "301", "b''", "b''"],
    ),
    "``release_domain(0)``": (
        "ocaml",
        """
        h.write("", "/key", "")
        call(h.release_domain, 0)
        call(h.read, "", "/key")
        """,
        ["('Error', (2, 'No such file or directory'))", "None"],
        ["('Error', (22, 'Invalid argument'))", "b''"],
    ),
    "``rm`` of ``/``": (
        "ocaml",
        """
        h.write("", "/key", "")
        call(h.rm, "", "/")
        call(h.read, "", "/key")
        """,
        ["None", "None"],
        ["('Error', (22, 'Invalid argument'))", "b''"],
    ),
    "``set_permissions`` of ``@`` paths but ``@introduceDomain`` and ``@releaseDomain``": (
        "c",
        """
        h.write("", "/key", "")
        h.rm("", "/key")
        call(h.set_permissions, "", "@other", [{"dom": 0}])
        call(h.read, "", "/")
        """,
        ["('Error', (9, 'Bad file descriptor'))"] * 2
        if xen_utils.VERSION != (4, 20)
        else ["('Error', (2, 'No such file or directory'))", "b''"],
        ["('Error', (22, 'Invalid argument'))", "b''"],
    ),
    "``set_permissions`` that names domid 32757 (``DOMID_ANY``)": (
        "c",
        """
        h.write("", "/key", "")
        call(h.set_permissions, "", "/key", [{"dom": 0}, {"dom": 32757}])
        """,
        ["None"],
        ["('Error', (22, 'Invalid argument'))"],
    ),
    "``set_permissions`` with a domid under -999999999": (
        "ocaml",
        """
        h.write("", "/key", "")
        h.set_permissions("", "/key", [{"dom": 0}, {"dom": -1234567890}])
        call(lambda: h.get_permissions("", "/key")[1]["dom"])
        """,
        ["-123456789"],
        ["-1234567890"],
    ),
    "``set_permissions`` with an entry that is no dict": (
        "c",
        """call(h.set_permissions, "", "/", ["n0"])""",
        ["('SystemError', '...')"],
        ["('TypeError', '...')"],
    ),
    "``xs()`` with wrong arguments": (
        "c",
        """
        call(xs, "read-only")
        call(xs, 1, 2)
        """,
        ["('SystemError', '...')"] * 2,
        ["('TypeError', '...')"] * 2,
    ),
    "wrong arguments elsewhere": (
        "c",
        """
        try:
            h.read("")
        except TypeError as exc:
            print("function takes exactly 2" in str(exc))
        call(h.transaction_end, "\\udc80", more=1)
        """,
        ["True", "('UnicodeEncodeError', '...')"],
        ["False", "('TypeError', '...')"],
    ),
    "``check_watch`` when only events of ended watches wait": (
        "c",
        """
        h.watch("/key", "token")
        settle(h)
        h.unwatch("/key", "token")
        call(h.check_watch)
        call(h.check_watch)
        """,
        ["('Error', (11, 'Resource temporarily unavailable'))", "None"],
        ["None", "None"],
    ),
    "``unwatch`` while events wait, then ``watch`` with the same token": (
        "c",
        """
        h.watch("/key", "token")
        settle(h)
        h.unwatch("/key", "token")
        h.watch("/other", "token")
        settle(h)
        call(h.check_watch)
        call(h.check_watch)
        """,
        ["('/key', 'token')", "('/other', 'token')"],
        ["('/other', 'token')", "None"],
    ),
    "``None`` as token": (
        "c",
        """
        h.watch("/key", None)
        call(h.read_watch)
        h.watch("/other", "token")
        call(h.read_watch)
        h.write("", "/key", "")
        settle(h)
        call(h.check_watch)
        """,
        ["('/key', None)", "('/other', 'token')"]
        + ["('Error', (11, 'Resource temporarily unavailable'))"],
        ["('/key', None)", "('/other', 'token')", "('/key', None)"],
    ),
    "a signal during ``read_watch``": (
        "c",
        """
        class Caught(Exception):
            pass

        def handler(number, frame):
            handled.set()
            raise Caught

        def write_if_not_handled():
            in_time.append(handled.wait(2))
            xs().write("", "/key", "")

        handled, in_time = threading.Event(), []
        signal.signal(signal.SIGALRM, handler)
        h.watch("/key", "token")
        h.read_watch()
        writer = threading.Thread(target=write_if_not_handled)
        writer.start()
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        call(h.read_watch)
        writer.join()
        print(in_time)
        """,
        ["('Caught', '...')", "[False]"],
        ["('Caught', '...')", "[True]"],
    ),
    "``read_watch`` and ``check_watch`` without any watch, when the daemon is gone": (
        "c",
        """
        kill_daemon()
        call(h.check_watch)
        """,
        ["None"],
        ["('Error', (22, 'Invalid argument'))"],
    ),
    "a reply that is not what the request defines": (
        "c",
        """
        def answer(listener):
            peer, _ = listener.accept()
            with peer:
                op, rq_id, tx_id, _ = struct.unpack("=4I", peer.recv(16, socket.MSG_WAITALL))
                peer.sendall(struct.pack("=4I", op, rq_id, tx_id, 4) + b"garb")
                peer.recv(100)

        os.environ["XENSTORED_PATH"] += "-not"
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(os.environ["XENSTORED_PATH"])
            listener.listen(1)
            server = threading.Thread(target=answer, args=(listener,))
            server.start()
            call(xs().get_permissions, "", "/")
            server.join()
        """,
        ["[]"],
        ["('Error', (9, 'Bad file descriptor'))"],
    ),
    "a call in a forked child": (
        "c",
        """
        transaction = h.transaction_start()
        h.write(transaction, "/key", "the parent's")
        child = os.fork()
        if not child:
            call(h.read, transaction, "/key")
            sys.stdout.flush()
            os._exit(0)
        os.waitpid(child, 0)
        call(h.read, transaction, "/key")
        """,
        ['b"the parent\'s"'] * 2,
        ["None", 'b"the parent\'s"'],
    ),
}


def output(python, imports, script, daemon):
    text = imports + PRELUDE + textwrap.dedent(script)
    environ = dict(daemon.environ, DAEMON=str(daemon.pid))
    done = subprocess.run(
        [python, "-c", text],
        env=environ,
        stdout=subprocess.PIPE,
        timeout=60,
        check=True,
        universal_newlines=True,
    )
    return done.stdout.splitlines()


@pytest.mark.parametrize("call", SCRIPTS)
def test_the_c_extension_and_pyxs_differ_as_the_table_says(call, python, start_daemon):
    kind, script, theirs, ours = SCRIPTS[call]
    path = "import sys; sys.path.insert(0, {!r})\n".format(xen_utils.EXTENSION)
    extension = path + "from xen.lowlevel.xs import xs, Error"
    assert output(python, extension, script, start_daemon(kind)) == theirs
    assert output(sys.executable, "from pyxs import xs, Error", script, start_daemon(kind)) == ours


def test_every_row_of_the_table_is_shown():
    with open(str(TABLE), newline="") as table:
        assert {row["Call"] for row in csv.DictReader(table)} == set(SCRIPTS)
