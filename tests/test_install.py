"""pyxs replaces ``xen.lowlevel.xs``, by a call or by ``$PYTHONPATH``."""

import os
import subprocess
import sys
import textwrap

import pytest

import pyxs

INSTALL = "import sys; import pyxs\npyxs.install_as_xen_lowlevel_xs()\n"

#: A directory for ``$PYTHONPATH``.
SWITCH = os.path.join(os.path.dirname(pyxs.__file__), "as_xen_lowlevel_xs")


def run(script, *path):
    """Run a script in a process of its own, with directories to import from."""
    run_unchanged(INSTALL + textwrap.dedent(script), *path)


def run_unchanged(text, *path):
    environ = dict(os.environ, PYTHONPATH=os.pathsep.join(path), PYTHONDONTWRITEBYTECODE="1")
    subprocess.run([sys.executable, "-W", "error", "-c", text], env=environ, check=True)


@pytest.fixture
def package(tmp_path):
    """A directory with a package like Xen's."""
    lowlevel = tmp_path / "xen" / "lowlevel"
    lowlevel.mkdir(parents=True)
    for directory in lowlevel, lowlevel.parent:
        (directory / "__init__.py").write_text("")
    (lowlevel / "xc.py").write_text("Error = KeyError\n")
    (lowlevel / "xs.py").write_text("real = True\n")
    (lowlevel.parent / "util.py").write_text("")
    return str(tmp_path)


IMPORTS = """
import xen.lowlevel.xs
from xen.lowlevel.xs import xs, Error
from xen.lowlevel import xs as module
assert xs is pyxs.xs and Error is pyxs.Error
assert module is xen.lowlevel.xs is sys.modules["xen.lowlevel.xs"]
"""


AGAIN = "pyxs.install_as_xen_lowlevel_xs()\n"


def test_it_can_be_installed_without_a_xen_package():
    run(IMPORTS)


def test_the_real_package_stays(package):
    run(
        IMPORTS + "import xen.util, xen.lowlevel.xc; assert xen.lowlevel.xc.Error is KeyError",
        package,
    )
    run("import xen.lowlevel.xc\n" + IMPORTS, package)
    with open(os.path.join(package, "xen", "lowlevel", "xs.py")) as file:
        assert file.read() == "real = True\n"


def test_installing_replaces_a_module_that_was_imported_before(package):
    forget = (
        "for name in [each for each in sys.modules if each[:3] == 'xen']: del sys.modules[name]"
    )
    before = "\nimport xen.lowlevel.xs\nassert xen.lowlevel.xs.real\n"
    run(forget + before + AGAIN + IMPORTS, package)


def test_installing_it_twice_is_the_same_as_once():
    run(IMPORTS + AGAIN + "assert sys.modules['xen.lowlevel.xs'] is module\n" + IMPORTS)


def test_an_import_error_in_the_real_package_is_raised(package, capfd):
    with open(os.path.join(package, "xen", "lowlevel", "__init__.py"), "w") as file:
        file.write("import what_is_not_there")
    with pytest.raises(subprocess.CalledProcessError):
        run("", package)
    assert "No module named 'what_is_not_there'" in capfd.readouterr().err


TEXT = """
pyxs.install_as_xen_lowlevel_xs(text=True)
from xen.lowlevel.xs import xs, Error
assert xs is not pyxs.xs and issubclass(xs, pyxs.xs) and Error is pyxs.Error
assert xs.__name__ == "xs"
handle = xs()
"""


def test_values_are_text_where_that_is_asked_for(xenstored, xenstore):
    xenstore.write("/a", b"sd:a \xe2\x82\xac\xff")
    script = """
    value = handle.read("", "/a")
    assert value == "sd:a \\u20ac\\udcff", value
    assert value.split(":") == ["sd", "a \\u20ac\\udcff"]
    handle.write("", "/b", value)
    handle.write("", "/c", b"bytes")
    assert handle.read("", "/c") == "bytes"
    assert handle.read("", "/missing") is None
    assert handle.read("", "/") == ""
    """
    run(TEXT + textwrap.dedent(script))
    assert xenstore.read("/b") == xenstore.read("/a")


def test_values_are_bytes_unless_text_is_asked_for(xenstored, xenstore):
    xenstore.write("/a", "1")
    again = "pyxs.install_as_xen_lowlevel_xs()\nfrom xen.lowlevel.xs import xs\n"
    run(TEXT + again + "assert xs is pyxs.xs\nassert xs().read('', '/a') == b'1'")


def test_text_takes_the_arguments_that_bytes_do(xenstored):
    script = """
    for use in (lambda: handle.read(""), lambda: handle.write("", "/a"), lambda: handle.read("", 5),
                lambda: handle.write("", "/a", 5), lambda: handle.read("", path="/a")):
        try:
            use()
        except TypeError:
            pass
        else:
            raise AssertionError
    handle.close()
    try:
        handle.read("", "/a")
    except Error as exc:
        assert exc.args[0] == 22
    """
    run(TEXT + textwrap.dedent(script))


def test_the_package_names_what_it_has_not_imported_yet():
    script = """
    assert {"Error", "install_as_xen_lowlevel_xs", "xs"} <= set(dir(pyxs))
    try:
        pyxs.nothing
    except AttributeError as exc:
        assert str(exc) == "module 'pyxs' has no attribute 'nothing'"
    else:
        raise AssertionError
    assert pyxs.xs is pyxs.xs and issubclass(pyxs.Error, RuntimeError)
    """
    text = "import pyxs\n" + textwrap.dedent(script)
    subprocess.run([sys.executable, "-W", "error", "-c", text], check=True)


UNCHANGED = """
import sys
import xen.lowlevel.xs
from xen.lowlevel.xs import xs, Error
import pyxs
assert xs is pyxs.xs and Error is pyxs.Error
assert xen.lowlevel.xs is sys.modules["xen.lowlevel.xs"]
"""


def test_an_environment_variable_installs_it_too(package):
    run_unchanged(UNCHANGED, SWITCH)
    run_unchanged(UNCHANGED, SWITCH, package)
    run_unchanged(UNCHANGED + INSTALL + IMPORTS, SWITCH, package)


def test_the_real_package_stays_with_the_variable(package):
    run_unchanged(
        UNCHANGED + "import xen.util, xen.lowlevel.xc; assert xen.lowlevel.xc.Error is KeyError",
        SWITCH,
        package,
    )
    run_unchanged("import xen.lowlevel.xc\n" + UNCHANGED, SWITCH, package)
    run_unchanged("import xen.lowlevel.xs; assert xen.lowlevel.xs.real", package, SWITCH)


# -- python -m pyxs.as_xen_lowlevel_xs -----------------------------------------------------


def run_program(directory, text, *args, **kwargs):
    """Run a program in a file on pyxs; return what the process printed and its status."""
    program = directory / "program.py"
    program.write_text(textwrap.dedent(text), encoding="utf-8")
    environ = dict(os.environ, PYTHONDONTWRITEBYTECODE="1")
    command = [sys.executable, "-W", "error", "-m", "pyxs.as_xen_lowlevel_xs"]
    return subprocess.run(
        command + [str(program), *args],
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        universal_newlines=True,
        timeout=60,
        **kwargs,
    )


def test_a_program_runs_on_pyxs(xenstored, xenstore, tmp_path):
    done = run_program(
        tmp_path,
        """
        import sys
        from xen.lowlevel import xs
        handle = xs.xs()
        handle.write("", "/from", sys.argv[1])
        print(xs.xs.__module__)
        sys.exit(3)
        """,
        "a program",
    )
    assert (done.returncode, done.stdout, done.stderr) == (3, "pyxs._xs.api\n", "")
    assert xenstore["/from"] == "a program"


PRINTS_ITS_PLACE = """
import sys, beside, inspect, pickle
class Here: pass
def path():
    return [each for each in sys.path if not each.endswith("as_xen_lowlevel_xs")]
if __name__ == "__main__":
    print(sys.argv, path()[0], __name__, __file__, beside.__name__, "caf\u00e9")
    print(type(pickle.loads(pickle.dumps(Here()))) is Here, inspect.getsource(Here).strip())
    print(sorted(name for name in globals() if name not in ("__annotations__", "__cached__")))
"""


def test_a_program_finds_the_world_as_python_has_it(tmp_path):
    (tmp_path / "beside.py").write_text("")
    link = tmp_path / "elsewhere" / "link.py"
    link.parent.mkdir()
    link.symlink_to(tmp_path / "program.py")
    done = run_program(tmp_path, PRINTS_ITS_PLACE, "-x", "--", "y", cwd=str(link.parent))
    plain = subprocess.check_output(
        [sys.executable, str(tmp_path / "program.py"), "-x", "--", "y"], universal_newlines=True
    )
    assert (done.stdout, done.stderr) == (plain, "")
    linked = subprocess.check_output(
        [sys.executable, "-m", "pyxs.as_xen_lowlevel_xs", str(link), "-x", "--", "y"],
        universal_newlines=True,
    )
    assert linked == plain.replace("program.py", "elsewhere/link.py")


@pytest.mark.parametrize("words", [["-h"], ["--help"], []])
def test_it_says_how_it_is_used(words):
    done = subprocess.run(
        [sys.executable, "-m", "pyxs.as_xen_lowlevel_xs", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        universal_newlines=True,
    )
    assert done.stdout == "usage: python -m pyxs.as_xen_lowlevel_xs PROGRAM [ARGUMENT ...]\n"
    assert done.returncode == (0 if words else 2)


def test_a_program_may_add_the_directory_of_the_c_extension(package, tmp_path):
    (tmp_path / "programs").mkdir()
    done = run_program(
        tmp_path / "programs",
        """
        import sys
        sys.path.insert(0, sys.argv[1])
        import xen.util, xen.lowlevel.xc, xen.lowlevel.xs
        print(xen.lowlevel.xs.xs.__module__, xen.lowlevel.xc.Error)
        """,
        package,
    )
    assert (done.stdout, done.stderr) == ("pyxs._xs.api <class 'KeyError'>\n", "")


def test_processes_of_a_program_run_on_pyxs_too(tmp_path):
    done = run_program(
        tmp_path,
        """
        import multiprocessing
        def module(_):
            from xen.lowlevel.xs import xs
            return xs.__module__
        if __name__ == "__main__":
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                print(pool.map(module, [1]))
        """,
    )
    assert (done.stdout, done.stderr) == ("['pyxs._xs.api']\n", "")


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("import missing_module", "ModuleNotFoundError: No module named 'missing_module'"),
        ("def f(:", "SyntaxError"),
        ("raise SystemExit('a message')", "a message"),
    ],
)
def test_the_failure_of_a_program_is_shown(tmp_path, text, error):
    done = run_program(tmp_path, text)
    assert (done.returncode, done.stdout) == (1, "")
    assert error in done.stderr


def test_without_a_program(tmp_path):
    command = [sys.executable, "-m", "pyxs.as_xen_lowlevel_xs"]
    for words, error in ((), "usage: "), ((str(tmp_path),), "Is a directory"):
        done = subprocess.run(command + list(words), stderr=subprocess.PIPE, timeout=60)
        assert done.returncode == 2
        assert error in done.stderr.decode()
