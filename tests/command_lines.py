"""Command lines for tests, and functions that run them with ``pyxs`` and the C tools."""

import fcntl
import os
import pty
import shlex
import signal
import struct
import subprocess
import sys
import termios

import xen_utils

PYXS = [sys.executable, "-m", "pyxs"]

#: For a fresh store, one after the other. Each begins with the name that ``pyxs`` and the C
#: tools share: ``xenstore-read`` is ``pyxs read``. All of them end, and none depends on a
#: terminal or on chance.
COMMAND_LINES = [
    shlex.split(line)
    for line in (
        "write /a 1",
        "write /a/b 2 /a/c 'x y' /a/e ''",
        r"write /esc 'a\nb\tc\\d\x41\101\r\"\z\xfe'",
        r"write -R /raw 'a\nb'",
        "write -- /dash -5",
        "write relative/path 1",
        "write /odd 1 /number",
        "write /dash/alone - /dash/after 2",
        "write /a//b 1",
        "read /a",
        "read /a /a/b /esc /raw /dash /a/e relative/path",
        "read -p /a /esc",
        "read /a -p /a/b",
        "read -R /a /esc",
        "read -Rp /a /a/b",
        "read /a -spR /a/b",
        "read -s /a",
        "read /a /missing /a/b",
        "read /a/",
        "read",
        "list /",
        "list -p /a",
        "list /a /missing /a",
        "list /a/b",
        "exists /a",
        "exists /a /missing",
        "exists /missing/node",
        "chmod /a r1 b2",
        "chmod /a x1",
        "chmod /raw r",
        "ls -fp",
        "chmod /raw n w r5 b",
        "chmod /missing n0",
        "chmod -r /a n0 r7",
        "chmod -u /esc/below/that n0",
        "write /esc/below/that 1",
        "chmod -u /esc/below/that n0 w1",
        "chmod -ur /a/b n0 r2",
        "chmod -u relative/path n0",
        "chmod -r / n0",
        "write /long " + "v" * 200 + " /a/nested/one/long " + "w" * 100,
        "ls",
        "ls -p",
        "ls -fp /a",
        "ls /a/nested /a/b /a",
        "ls -f /a /missing /a",
        "rm /missing",
        "rm /missing/node",
        "rm /a/b /missing/node /a/c",
        "rm /",
        "write /t/full value /t/full/u/v 1 /t/empty/u/v 2 /t/empty/u/w 3",
        "rm -t /t/full/u/v",
        "rm -t /t/empty/u/v",
        "rm -t /t/empty/u/w /t/full",
        "rm -t relative/path",
        "ls -fp",
        "watch -n 1 /a",
        "watch -n 2 /a /missing",
        "watch -sn 1 /missing",
        "watch -sn2 /a /missing",
        "watch -n 2 @introduceDomain relative/path",
        "watch -n 0 /a",
        "watch -n 1 /a /a",
        "watch /a/",
        "control check",
        "control help",
        "control log off",
        "control nonsense",
        "control",
    )
]


def run_c_tool(words, environ, **options):
    """Run a command line by its C tool; return what it printed, and whether it succeeded."""
    program = "xenstore-" + words[0]
    if words[0] == "control":  # the one on the PATH refuses to run without Xen
        program = xen_utils.CONTROL
    done = subprocess.run(
        [program] + words[1:],
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        timeout=20,
        **options,
    )
    return done.stdout, done.returncode == 0


class Started(subprocess.Popen):
    """A process that is killed, with the others of its session, when the ``with`` block fails."""

    def __exit__(self, kind, *exc_info):
        if kind is not None and self.poll() is None:
            # Of what shares the session of pytest, no more than the process itself.
            kill = os.killpg if os.getsid(self.pid) == self.pid else os.kill
            kill(self.pid, signal.SIGKILL)
        return super().__exit__(kind, *exc_info)


def start_pyxs(*words, env=os.environ, stdout=subprocess.PIPE, **options):
    """Start ``pyxs`` as a process, with the buffering and signals that a shell gives it."""
    env = {name: value for name, value in env.items() if name != "PYTHONUNBUFFERED"}
    ours = {
        number: signal.signal(number, signal.SIG_DFL) for number in (signal.SIGINT, signal.SIGHUP)
    }
    try:
        return Started(
            PYXS + list(words), env=env, stdout=stdout, stderr=subprocess.PIPE, **options
        )
    finally:
        for number, handler in ours.items():
            signal.signal(number, handler)


def on_a_terminal(columns, argv, environ):
    """Run a program on a terminal of that width; return its output."""
    terminal, program_side = pty.openpty()
    fcntl.ioctl(program_side, termios.TIOCSWINSZ, struct.pack("4H", 24, columns, 0, 0))
    with subprocess.Popen(argv, stdout=program_side, env=environ):
        os.close(program_side)
        shown = b""
        while True:
            try:
                data = os.read(terminal, 65536)
            except OSError:  # EIO: the program's side is closed
                break
            shown += data
    os.close(terminal)
    return shown
