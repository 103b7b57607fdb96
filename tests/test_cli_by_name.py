"""The command under the names of the C programs, beside them."""

import os
import random
import subprocess

import pytest

from command_lines import PYXS, run_c_tool
from pyxs import cli

only_c = pytest.mark.parametrize("daemon", ["c"], indirect=True)

PATHS = [
    "/a",
    "/a/b",
    "/a/b/c",
    "/a/e",
    "/f",
    "rel",
    "rel/g",
    "/",
    "/a/",
    "//",
    "/a//b",
    "/no/such",
]
VALUES = ["1", "", "two words", r"a\tb\n", r"\x41\101", "x" * 90, "-", "\u00e9", "v\nw", "="]
PERMS = ["n0", "r0", "b0", "w", "r", "n", "b", "q0", ""]
#: By subcommand: its options, each in several forms.
OPTIONS = {
    "chmod": [["-r"], ["-u"], ["-ur"], ["--recurse"], ["--upto", "-r"], ["--up"], ["-sr"]],
    "exists": [["-s"], ["-ss"]],
    "list": [["-p"], ["--prefix"], ["-sp"], ["--pre"]],
    "ls": [["-f"], ["-p"], ["-fp"], ["--flat"], ["--prefix", "-f"], ["-pfs"]],
    "read": [["-p"], ["-R"], ["-Rp"], ["--raw"], ["--pref"], ["-sR"]],
    "rm": [["-t"], ["--tidy"], ["-ts"], ["--ti"]],
    "write": [["-R"], ["--raw"], ["-s"]],
}
WRONG = ["-n1", "-fR", "-tf", "-ptu"]  # for each of them


def command_line():
    """Return the words of a random command line, without a known difference."""
    name = random.choice(sorted(OPTIONS))
    operands = random.choices(PATHS, k=random.choice([0, 1, 1, 1, 2, 3]))
    if name == "list":  # "list -p /" differs
        operands = [path for path in operands if path != "/"]
    if name == "chmod":
        operands = [random.choice(PATHS)] + random.choices(PERMS, k=random.choice([0, 1, 2, 3]))
    if name == "write":
        operands = [word for path in operands for word in (path, random.choice(VALUES))]
        operands = operands[: len(operands) - (random.random() < 0.1)]
    words = list(operands)
    if random.random() < 0.6:
        at = random.randint(0, len(words))
        words[at:at] = random.choice(OPTIONS[name] if random.random() < 0.9 else [WRONG])
    elif random.random() < 0.1:
        words[:0] = ["--"]
    return [name] + words


@pytest.fixture
def by_name(monkeypatch, capfdbinary):
    def run(words):
        monkeypatch.setattr("sys.argv", ["/usr/bin/xenstore-" + words[0]] + words[1:])
        try:
            status = cli.main()
        except SystemExit as exc:
            status = exc.code
        return capfdbinary.readouterr().out, status == 0

    return run


@pytest.mark.parametrize("daemon", ["c", "memory"], indirect=True)
@pytest.mark.parametrize("number", [100, pytest.param(5000, marks=pytest.mark.thorough)])
def test_random_command_lines(daemon, start_daemon, by_name, monkeypatch, number):
    monkeypatch.setenv("XENSTORED_PATH", daemon.path)
    theirs = start_daemon(daemon.kind)
    for _ in range(number):
        words = command_line()
        assert (words, *by_name(words)) == (words, *run_c_tool(words, theirs.environ))
    shown = ["ls", "-fp"]
    assert by_name(shown) == run_c_tool(shown, theirs.environ)


# -- whole scripts -------------------------------------------------------------------------

#: As a hotplug script does: functions around the tools, errors told from what they print.
HOTPLUG = r"""
XENBUS_PATH=/local/domain/0/backend/vbd/3/51712
fatal() {
    xenstore_write "$XENBUS_PATH/hotplug-error" "$1" "$XENBUS_PATH/hotplug-status" error
    exit 1
}
xenstore_write() { xenstore-write "$@" || echo "cannot write $*"; }
read_or() { value=$(xenstore-read "$1" 2>/dev/null) && echo "$value" || echo "$2"; }

xenstore-write $XENBUS_PATH/params '/dev/vg/web disk' $XENBUS_PATH/mode w $XENBUS_PATH/online 1
xenstore-write /local/domain/3/device/vbd/51712/backend $XENBUS_PATH
mode=$(read_or $XENBUS_PATH/mode r)
type=$(read_or $XENBUS_PATH/type file)
echo "mode=$mode type=$type params=$(xenstore-read $XENBUS_PATH/params)"
for base in $(xenstore-list /local/domain/0/backend/vbd); do
    for device in $(xenstore-list -p /local/domain/0/backend/vbd/$base); do
        echo "$device: $(xenstore-read -p "$device/params" "$device/mode")"
    done
done
if xenstore-exists $XENBUS_PATH/node; then echo 'already attached'; fi
xenstore-chmod -r $XENBUS_PATH n0 r3
xenstore-rm -t $XENBUS_PATH/no-such-node/at-all 2>&1 | grep -o 'could not remove path'
xenstore_write "$XENBUS_PATH/physical-device" fd:3 $XENBUS_PATH/hotplug-status connected
xenstore-ls -fp /local/domain
xenstore-rm -t $XENBUS_PATH
xenstore-ls
fatal 'no such device'
"""

#: As a guest's agent does: relative paths, tabs and newlines in values.
GUEST = r"""
set -e
xenstore write data/os_name 'Linux\tweb' data/os_uname "$(printf 'a\nb')" data/meminfo_free 100
xenstore-write attr/PVAddons/Installed 1 data/updated 'Thu Jan  1 00:00:00 UTC 1970'
for key in os_name os_uname nothing; do
    xenstore-read data/$key 2>/dev/null || echo "$key: none"
done
xenstore-list -p data | sort
xenstore ls data
test "$(xenstore-read -R data/os_name)" = "$(printf 'Linux\tweb')"
"""

#: As a script that follows events does.
LOOP = r"""
xenstore-write /ctl/go ''
xenstore-watch -n 4 /ctl | while read -r path; do
    case $path in
    /ctl) for n in 1 2 3; do xenstore-write /ctl/$n - ; done ;;
    *) echo "$path is $(xenstore-read "$path")" ;;
    esac
done
"""


@only_c
@pytest.mark.parametrize("script", [HOTPLUG, GUEST, LOOP], ids=["hotplug", "guest", "loop"])
def test_a_script_does_the_same(daemon, tmp_path, script):
    file = tmp_path / "script"
    file.write_text(script)
    ours = run_script(PYXS + ["run", "--tools", "--", "sh", str(file)])
    theirs = run_script(["sh", str(file)], env=daemon.environ)
    assert ours == theirs


def run_script(words, **options):
    done = subprocess.run(words, stdout=subprocess.PIPE, timeout=60, **options)
    return done.returncode, done.stdout.decode()


def test_the_directory_of_the_tools_goes_away(tmp_path):
    script = 'command -v xenstore-ls; command -v xenstore-control; echo "$PATH" | cut -d: -f1'
    done = run_script(
        PYXS + ["run", "--tools", "--", "sh", "-c", script],
        env=dict(os.environ, TMPDIR=str(tmp_path)),
    )
    ls, control, directory = done[1].split()
    assert (ls, control) == (directory + "/xenstore-ls", directory + "/xenstore-control")
    assert directory.startswith(str(tmp_path))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["xenstore", "frob"], "xenstore: frob: no such subcommand; see 'xenstore -h'\n"),
        (["xenstore-wrtie", "/a"], "xenstore: wrtie: no such subcommand; did you mean 'write'?\n"),
        (
            ["xenstore"],
            "xenstore: the following arguments are required: SUBCOMMAND; see 'xenstore -h'\n",
        ),
    ],
)
def test_a_message_has_the_name_of_the_program(monkeypatch, capfd, words, message):
    monkeypatch.setattr("sys.argv", words)
    with pytest.raises(SystemExit, match="2"):
        cli.main()
    assert capfd.readouterr().err == message


def test_without_a_daemon_the_message_begins_as_in_c(monkeypatch, capfd, tmp_path):
    monkeypatch.setenv("XENSTORED_PATH", str(tmp_path / "none"))
    for words in (["xenstore-list", "/"], ["xenstore", "list", "/"]):
        monkeypatch.setattr("sys.argv", words)
        assert cli.main() == 1
        begin = "{}: xs_open: {}: ".format(" ".join(words[:-1]), tmp_path / "none")
        assert capfd.readouterr().err.startswith(begin)
    monkeypatch.setattr("sys.argv", ["xenstore-control", "check"])
    assert cli.main() == 1
    assert capfd.readouterr().err.startswith("xenstore-control: Failed to contact Xenstored: ")
