"""The single file that ``packaging/zipapp`` makes, run by this interpreter."""

import modulefinder
import os
import pathlib
import shutil
import subprocess
import sys
import time
import zipfile

import pytest

import pyxs

ROOT = pathlib.Path(__file__).parent.parent
LONG_AGO = 1000000000
SWITCH = "pyxs/as_xen_lowlevel_xs"

#: A program written for the C extension.
SCRIPT = """
from xen.lowlevel.xs import Error, xs
store = xs()
store.write("", "/vm/web", "up")
print(store.read("", "/vm/web"), type(store).__module__, issubclass(Error, RuntimeError))
"""
PRINTED = "b'up' pyxs._xs.api True\n"


def build(tree, **environ):
    """Build in *tree* from the package under test, which may be installed."""
    package = pathlib.Path(pyxs.__file__).parent
    shutil.copytree(str(package), str(tree / "pyxs"))
    (tree / "packaging").mkdir()
    for name in ("packaging/epoch", "packaging/zipapp", "LICENSE", "LICENSE.GPL"):
        shutil.copy(str(ROOT / name), str(tree / name))
    return rebuild(tree, **environ)


def rebuild(tree, **environ):
    command = [sys.executable, str(tree / "packaging" / "zipapp"), str(tree / "pyxs.pyz")]
    subprocess.run(command, env=dict(os.environ, **environ), check=True)
    return str(tree / "pyxs.pyz")


def output(*command, **environ):
    """Run a command in / and return what it printed; in Python only *environ* names pyxs."""
    environ = dict(os.environ, PYTHONNOUSERSITE="1", **environ)
    return subprocess.check_output(command, cwd="/", env=environ, universal_newlines=True)


@pytest.fixture(scope="module")
def pyz(tmp_path_factory):
    return build(tmp_path_factory.mktemp("zipapp"))


@pytest.fixture
def bare(tmp_path):
    """An interpreter with the standard library only."""
    subprocess.check_call([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "bare")])
    return str(tmp_path / "bare" / "bin" / "python")


def test_the_file_runs_as_the_command(pyz, bare):
    assert output(bare, pyz, "--version") == "pyxs {}\n".format(pyxs.__version__)
    inner = [bare, pyz, "write", "/a", "1", "/b", "2"]
    assert output(bare, pyz, "run", "--", *inner) == ""
    listing = "{0} {1} write /a 1 && {0} {1} exists /a && {0} {1} ls /".format(bare, pyz)
    assert 'a = "1"\n' in output(bare, pyz, "run", "--", "sh", "-c", listing)


def test_the_file_can_be_executed(pyz, bare):
    path = os.pathsep.join([os.path.dirname(bare), os.environ["PATH"]])
    assert output(pyz, "run", "--", pyz, "exists", "/", PATH=path) == ""


def test_the_file_is_the_c_program_of_its_name(pyz, bare, xenstored, tmp_path):
    path = os.pathsep.join([os.path.dirname(bare), os.environ["PATH"]])
    for name in ("xenstore-write", "xenstore"):
        (tmp_path / name).symlink_to(pyz)
    assert output(str(tmp_path / "xenstore-write"), "/a", "1", PATH=path) == ""
    assert output(str(tmp_path / "xenstore"), "read", "-p", "/a", PATH=path) == "/a: 1\n"
    done = subprocess.run(
        [bare, str(tmp_path / "xenstore-write"), "/a//b", "1"], stderr=subprocess.PIPE
    )
    assert done.stderr.startswith(b"xenstore-write: could not write path /a//b: a path may not")


def test_the_unpacked_file_is_the_c_program_of_a_link(pyz, bare, xenstored, tmp_path):
    # As docs/howto/dom0.rst says.
    path = os.pathsep.join([os.path.dirname(bare), os.environ["PATH"]])
    subprocess.check_call([sys.executable, "-m", "zipfile", "-e", pyz, str(tmp_path / "lib")])
    main = tmp_path / "lib" / "__main__.py"
    main.chmod(0o755)
    (tmp_path / "pyxs").symlink_to(main)
    (tmp_path / "xenstore-write").symlink_to(tmp_path / "pyxs")
    assert output(str(tmp_path / "xenstore-write"), "/a", "1", PATH=path) == ""
    assert output(str(tmp_path / "pyxs"), "read", "/a", PATH=path) == "1\n"


def test_the_file_puts_itself_on_the_path_as_the_c_programs(pyz, bare):
    script = "xenstore-write /a 1 && xenstore read -p /a"
    assert output(bare, pyz, "run", "--tools", "sh", "-c", script) == "/a: 1\n"


def test_the_package_can_be_imported_from_the_file(pyz, bare, xenstored):
    script = "import pyxs; print(pyxs.Client().exists('/'), pyxs.__file__)"
    assert output(bare, "-c", script, PYTHONPATH=pyz) == "True {}/pyxs/__init__.py\n".format(pyz)


def test_the_file_replaces_the_c_extension(pyz, bare, xenstored):
    line = "import pyxs; pyxs.install_as_xen_lowlevel_xs()\n"
    assert output(bare, "-c", line + SCRIPT, PYTHONPATH=pyz) == PRINTED


def test_a_variable_switches_a_program_over_to_the_file(pyz, bare, xenstored):
    path = os.pathsep.join([pyz, pyz + "/" + SWITCH])
    assert output(bare, "-c", SCRIPT, PYTHONPATH=path) == PRINTED


def test_dates_and_modes_of_files_do_not_change_the_built_file(tmp_path):
    file = pathlib.Path(build(tmp_path, SOURCE_DATE_EPOCH=str(LONG_AGO)))
    before = file.read_bytes()
    for path in (tmp_path / "pyxs").rglob("*.py"):
        path.chmod(0o600)
        os.utime(str(path), (LONG_AGO, LONG_AGO))
    rebuild(tmp_path, SOURCE_DATE_EPOCH=str(LONG_AGO))
    assert file.read_bytes() == before
    with zipfile.ZipFile(str(file)) as archive:
        dates = {info.date_time for info in archive.infolist()}
    assert dates == {time.gmtime(LONG_AGO)[:6]}


def test_the_file_contains_the_license(pyz):
    with zipfile.ZipFile(pyz) as archive:
        assert archive.read("LICENSE") == (ROOT / "LICENSE").read_bytes()
        assert archive.read("LICENSE.GPL") == (ROOT / "LICENSE.GPL").read_bytes()


def test_the_changes_of_this_version_come_first():
    headings = [
        line for line in (ROOT / "CHANGES").read_text().splitlines() if line.startswith("Version ")
    ]
    assert headings[0] == "Version " + pyxs.__version__


def test_import_statements_name_all_modules_of_the_command():
    # PyInstaller and its like pack what such a search finds.
    package = pathlib.Path(pyxs.__file__).parent
    finder = modulefinder.ModuleFinder([str(package.parent)])
    finder.import_hook("pyxs.cli")
    for path in (package / "_cli").glob("*.py"):
        name = "pyxs._cli" if path.stem == "__init__" else "pyxs._cli." + path.stem
        assert name in finder.modules
