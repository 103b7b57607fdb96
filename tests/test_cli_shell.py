"""``pyxs shell``: as a script, and on a terminal."""

import contextlib
import os
import select
import signal
import subprocess
import sys
import time

import pytest

from command_lines import PYXS, start_pyxs
from common import PATIENCE
from forks import forkpty
from pyxs import Client


@pytest.fixture(params=["-", "shell"])
def script(request, xenstored):
    """Run a script; return its exit status, output and error output."""

    def run(*lines):
        text = "\n".join(lines).encode()
        with start_pyxs(request.param, stdin=subprocess.PIPE) as process:
            out, err = process.communicate(text)
        return process.returncode, out.decode(), err.decode()

    return run


# -- a script ------------------------------------------------------------------------------


def test_many_commands_in_one_process(script, xenstore):
    assert script(
        "write /a 'x y' /b two\\\\nlines",
        "",
        "  # a comment",
        "read -p /a /b",
        "write '/c' \"#\"",
        "ls -f /",
        "exists /a",
        "chmod /a n0 r1",
        "dump /a",
        "wait /a --timeout 5",
        "rm /b",
    ) == (
        0,
        "/a: x y\n/b: two\\nlines\n"
        '/tool = ""\n/tool/xenstored = ""\n/a = "x y"\n/b = "two\\nlines"\n/c = "#"\n'
        '{\n"/a": {"value": "x y", "perms": ["n0", "r1"]}\n}\n',
        "",
    )
    assert not xenstore.exists("/b")


def test_commands_of_a_script_share_a_connection(xenstored):
    connections = set()
    with start_pyxs("-", stdin=subprocess.PIPE) as process:
        directory = "/proc/{}/fd".format(process.pid)
        for number in range(3):
            process.stdin.write(b"write /a %d\nread /a\n" % number)
            process.stdin.flush()
            assert process.stdout.readline() == b"%d\n" % number
            links = [os.readlink(os.path.join(directory, fd)) for fd in os.listdir(directory)]
            connections.update(link for link in links if link.startswith("socket:"))
        process.stdin.close()
        assert process.stderr.read() == b""
    assert len(connections) == 1


@pytest.mark.parametrize(
    ("line", "status", "err"),
    [
        ("read /nope", 1, "pyxs read: couldn't read path /nope: No such file or directory\n"),
        ("exists /nope", 1, ""),
        (
            "wait /nope --timeout 0",
            124,
            "pyxs wait: /nope: timed out after 0 seconds; there is no such node\n",
        ),
        ("wrtie /a 1", 1, "pyxs: wrtie: no such subcommand; did you mean 'write'?\n"),
        ("exti", 1, "pyxs: exti: no such subcommand; did you mean 'exit'?\n"),
        ("srve", 1, "pyxs: srve: no such subcommand; see 'help'\n"),
        (
            "read -q /a",
            2,
            "pyxs read: -q: no such option; an operand that begins with '-' goes after '--'",
        ),
        ("write /a 'open", 1, "pyxs: No closing quotation\n"),
        ("write --stdin /a", 1, "pyxs: write: --stdin: the shell reads the standard input\n"),
        ("load", 1, "pyxs: load: the shell reads the standard input; name a file\n"),
        ("read --socket /elsewhere /a", 1, "pyxs: read: uses the connection of the shell\n"),
        ("shell", 1, "pyxs: shell: cannot be used in a shell\n"),
        ("cd /nope", 1, "pyxs: cd: /nope: No such file or directory\n"),
        ("cd /a /b", 1, "pyxs: cd: takes one path\n"),
    ],
)
def test_a_line_that_fails_ends_a_script(script, line, status, err):
    result = script("write /a 1", line, "read /a")
    assert result[:2] == (status, "")
    assert result[2].startswith(err)
    assert result[2].count("\n") == (1 if err else 0)


def test_relative_paths_begin_where_cd_says(script, xenstore):
    xenstore.write_many({"/local/domain/0/name": "dom0", "/local/domain/1/name": "web"})
    xenstore.mkdir("/local/domain/1/memory")
    assert script(
        "read name",
        "cd /local/domain/1/",
        "read name ../0/name",
        "write memory/target 7",
        "ls",
        "list .",
        "cd memory",
        "read target",
        "cd ..",
        "chmod name n1",
        "watch -n 1 @releaseDomain",
        "cd",
        "read name",
        "cd ../1",
        "read name",
    ) == (
        0,
        'dom0\nweb\ndom0\nname = "web"\nmemory = ""\n target = "7"\nname\nmemory\n7\n'
        "@releaseDomain\ndom0\nweb\n",
        "",
    )
    assert xenstore.get_permissions("/local/domain/1/name") == ["n1"]


def test_where_relative_paths_begin_is_printed(script, xenstore):
    xenstore.write("/tool/demo/a", "1")
    assert script("pwd", "cd /tool", "pwd", "cd demo", "pwd", "cd", "pwd") == (
        0,
        "/local/domain/0\n/tool\n/tool/demo\n/local/domain/0\n",
        "",
    )


def test_list_begins_where_cd_says(script, xenstore):
    xenstore.write_many({"/tool/demo/a": "1", "/local/domain/0/name": "dom0"})
    assert script("list", "cd /tool", "list", "list -p", "list demo", "cd demo", "list") == (
        0,
        "name\nxenstored\ndemo\n/tool/xenstored\n/tool/demo\na\na\n",
        "",
    )


@pytest.mark.parametrize("word", ["exit", "quit"])
def test_a_word_ends_a_script(script, xenstore, word):
    assert script("write /a 1", word, "write /a 2") == (0, "", "")
    assert xenstore["/a"] == "1"


def test_words_of_the_shell_take_no_argument(script):
    for word in ("exit", "quit", "pwd"):
        assert script(word + " 1") == (1, "", "pyxs: {}: takes no argument\n".format(word))


def test_help_names_the_words_of_the_shell_and_not_what_it_lacks(script):
    status, out, err = script("help", "help cd", "help read")
    assert (status, err) == (0, "")
    assert out.count("cd [PATH]") == 2
    for name in ("pwd", "exit, quit", "    read ", "    devices ", "usage: pyxs read"):
        assert name in out
    assert "    serve " not in out


def test_a_script_without_a_daemon(monkeypatch, tmp_path):
    monkeypatch.setenv("XENSTORED_PATH", str(tmp_path / "nope"))
    with start_pyxs("-", stdin=subprocess.PIPE) as process:
        out, err = process.communicate(b"read /a\n")
    assert (process.returncode, out) == (1, b"")
    assert err.startswith("pyxs -: {}/nope: No such file".format(tmp_path).encode())


# -- a terminal ----------------------------------------------------------------------------


class Terminal:
    """A shell on a terminal of its own."""

    def __init__(self):
        self.pid, self._fd = forkpty()
        if self.pid == 0:
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # a test run in the background ignores it
            # As in a locale such as en_US.UTF-8, which need not be installed.
            os.environ.update(TERM="dumb", INPUTRC="/dev/null", PYTHONIOENCODING="utf-8:strict")
            os.execv(sys.executable, PYXS + ["shell"])
        self._shown = ""

    def type(self, text):
        os.write(self._fd, os.fsencode(text))

    def see(self, text, typing=""):
        """Wait until *text* is shown, and return all up to it.

        :param typing: typed now, and again after each second in which nothing is shown.
        """
        deadline = time.monotonic() + PATIENCE
        self.type(typing)
        while text not in self._shown:
            if select.select([self._fd], [], [], 1)[0]:
                self._shown += os.read(self._fd, 4096).decode("utf-8", "replace")
            else:
                assert time.monotonic() < deadline, self._shown
                self.type(typing)
        seen, _, self._shown = self._shown.partition(text)
        return seen.replace("\r", "") + text

    def end(self):
        """Type Ctrl-D on an empty line and return the exit status."""
        deadline = time.monotonic() + PATIENCE
        with contextlib.suppress(OSError):  # EIO: the other side is closed
            while True:
                # Repeated, because input before a prompt does not reach the shell.
                self.type("\x15\x04")
                while select.select([self._fd], [], [], 0.2)[0]:
                    os.read(self._fd, 4096)
                assert time.monotonic() < deadline
        os.close(self._fd)
        return os.WEXITSTATUS(os.waitpid(self.pid, 0)[1])


@pytest.fixture
def terminal(xenstored, xenstore):
    xenstore.write_many(
        {"/local/domain/1/name": "web", "/local/domain/1/memory/target": "7", "/lost": ""}
    )
    terminal = Terminal()
    terminal.see("pyxs> ")
    yield terminal
    assert terminal.end() == 0


def test_a_failing_line_does_not_end_the_shell(terminal):
    terminal.type("read /nope\n")
    terminal.see("pyxs read: couldn't read path /nope: No such file or directory")
    terminal.type("exists /nope\nread -q\nread 'x\nread /local/domain/1/name\n")
    terminal.see("No closing quotation")
    terminal.see("web")


def test_a_line_that_is_not_utf8_does_not_end_the_shell(terminal):
    terminal.type("write /latin1 caf\udcff\n")
    terminal.see(r"the line is not in the encoding of this terminal; write bytes as \xHH")
    terminal.type("write /latin1 'caf\\xe9'\nread /latin1\n")
    terminal.see("\ncaf\\xe9\r\n")


def test_the_prompt_shows_the_current_path(terminal):
    terminal.type("cd /local/domain\n")
    terminal.see("pyxs /local/domain> ")
    terminal.type("cd 1\n")
    terminal.see("pyxs /local/domain/1> ")
    terminal.type("cd\n")
    terminal.see("pyxs> ")


def test_tab_completes_subcommands_and_paths(terminal):
    terminal.type("wri\t")
    terminal.see("write ")
    terminal.type("/tm 1\n")
    terminal.see("pyxs> ")
    terminal.type("read /loc\t")
    terminal.see("/local/")
    terminal.type("\t\t")
    terminal.see("domain/1/")
    terminal.type("na\t\n")
    terminal.see("web")
    terminal.type("read /lo\t\t")
    assert "/lost" in terminal.see("/lost")
    terminal.type("s\t\ncd /local/domain/1\nread mem\t")
    terminal.see("/1> ")
    terminal.see("memory/")
    terminal.type("\t\n")
    terminal.see("7")
    terminal.type("help wai\t\n")
    terminal.see("usage: pyxs wait")


@pytest.mark.parametrize("word", ["exit", "quit"])
def test_a_word_ends_the_shell(terminal, word):
    terminal.type("  {}\n".format(word))
    with pytest.raises(OSError, match="Errno 5"):  # EIO: the other side is closed
        terminal.see("the end")


def test_history(terminal, xenstore):
    terminal.type("read /local/domain/1/name\n")
    terminal.see("web")
    terminal.see("pyxs> ")
    xenstore.write("/local/domain/1/name", "renamed")
    terminal.type("\x1b[A\n")
    terminal.see("renamed")


def test_an_interrupt_ends_a_watch_and_not_the_shell(terminal, xenstored):
    terminal.type("watch -v /lost\n")
    terminal.see("/lost: ")
    # Repeated, because Python may notice a signal only after the system call that it is about
    # to make.
    terminal.see("pyxs> ", typing="\x03")
    terminal.type("read /local/domain/1/name\n")
    terminal.see("web")


def test_the_shell_connects_again(daemon, monkeypatch):
    monkeypatch.setenv("XENSTORED_PATH", daemon.path)
    terminal = Terminal()
    terminal.see("pyxs> ")
    daemon.restart()
    with Client(daemon.path) as client:
        client.write("/a", "after")
    terminal.type("read /a\nread /a\n")
    terminal.see("after")
    assert terminal.end() == 0
