"""``pyxs completion``: the scripts, in a real bash and a real zsh."""

import contextlib
import os
import select
import shutil
import sys
import time

import pytest

from common import PATIENCE
from conftest import skip_or_fail
from forks import forkpty
from pyxs import cli

STARTS = {
    "bash": (["bash", "--norc", "--noprofile", "-i"], "PS1='ready> '; bind 'set bell-style none'"),
    "zsh": (["zsh", "-f", "-i"], "PS1='ready> '; autoload -U compinit; compinit -u -D"),
}


def test_the_scripts_are_those_of_this_parser():
    if sys.version_info[:2] != (3, 11):
        pytest.skip("the scripts are made with CPython 3.11, whose argparse writes the help")
    pytest.importorskip("shtab")
    import completion_scripts

    for shell in STARTS:
        with open(completion_scripts.place(shell)) as file:
            assert file.read() == completion_scripts.make(shell), (
                "python tests/completion_scripts.py makes them"
            )


def test_the_command_prints_them(capfdbinary):
    for shell, mark in (("bash", b"complete -F _pyxs pyxs"), ("zsh", b"#compdef pyxs")):
        assert cli.main(["completion", shell]) == 0
        assert mark in capfdbinary.readouterr().out
    with pytest.raises(SystemExit):
        cli.main(["completion", "fish"])


class Shell:
    """A shell on a terminal, with the completion of ``pyxs`` loaded."""

    def __init__(self, name, directory):
        argv, setup = STARTS[name]
        command = directory / "pyxs"
        command.write_text('#!/bin/sh\nexec "{}" -m pyxs "$@"\n'.format(sys.executable))
        command.chmod(0o755)
        self._pid, self._fd = forkpty()
        if self._pid == 0:
            os.environ.update(TERM="dumb", INPUTRC="/dev/null", HOME=str(directory))
            os.environ["PATH"] = "{}:{}".format(directory, os.environ["PATH"])
            os.chdir(str(directory))
            os.execvp(argv[0], argv)
        self._shown = ""
        self.type("{}; eval \"$(pyxs completion {})\"; echo se''t\n".format(setup, name))
        self.see("set")
        self.see("ready> ")

    def type(self, text):
        os.write(self._fd, text.encode())

    def see(self, text):
        """Wait until *text* is shown."""
        deadline = time.monotonic() + PATIENCE
        while text not in self._shown:
            left = max(deadline - time.monotonic(), 0)
            assert select.select([self._fd], [], [], left)[0], (text, self._shown)
            self._shown += os.read(self._fd, 4096).decode(errors="replace")
        self._shown = self._shown.partition(text)[2]

    def end(self):
        with contextlib.suppress(OSError):  # EIO: the other side is closed
            self.type("\x15exit\n")
            while True:
                os.read(self._fd, 4096)
        os.close(self._fd)
        os.waitpid(self._pid, 0)


@pytest.fixture(params=sorted(STARTS))
def shell(request, xenstored, xenstore, tmp_path):
    if shutil.which(request.param) is None:
        skip_or_fail("{0} is missing: apt-get install {0}".format(request.param))
    xenstore.write_many({"/local/domain/1/name": "web", "/local/domain/1/memory/target": "7"})
    shell = Shell(request.param, tmp_path)
    yield shell
    shell.end()


def test_subcommands_and_options_are_completed(shell):
    shell.type("pyxs rea\t")
    shell.see("read ")
    shell.type("--pre\t")
    shell.see("--prefix")
    shell.type(" /local/domain/1/name\n")
    shell.see("/local/domain/1/name: web")


def test_paths_are_completed_by_asking_the_store(shell):
    shell.type("pyxs read /loc\t")
    shell.see("/local")
    shell.type("\t")
    shell.see("/domain")
    shell.type("\t")
    shell.see("/1")
    shell.type("/na\t")
    shell.see("name")
    shell.type("\n")
    shell.see("web")


def test_completion_asks_the_store_that_the_command_line_names(shell, xenstored):
    shell.type("unset XENSTORED_PATH\n")
    shell.type("pyxs ls --socket {} /local/domain/1/mem\t".format(xenstored.path))
    shell.see("memory")
    shell.type("\n")
    shell.see('target = "7"')
