"""The fixtures that pyxs gives to the tests of its users."""

import subprocess
import sys

pytest_plugins = ["pytester"]

TESTS = """
    import os
    import pyxs

    def test_first(xenstore, xenstored):
        assert isinstance(xenstore, pyxs.Client)
        assert os.environ["XENSTORED_PATH"] == xenstored.path
        xenstore["/a"] = "1"
        assert pyxs.Client().read("/a") == "1"

    def test_second(xenstore):
        assert not xenstore.exists("/a")

    def test_a_guest(xenstore, xenstored):
        xenstore["/local/domain/7/name"] = "guest"
        xenstore.set_permissions("/local/domain/7/name", ["n0", "r7"])
        with pyxs.Client(xenstored.socket_for(7)) as guest:
            assert guest["name"] == "guest"

    def test_nothing_is_left():
        assert os.environ.get("XENSTORED_PATH") == "before"
"""


def test_installing_pyxs_gives_the_fixtures(pytester, monkeypatch):
    monkeypatch.setenv("XENSTORED_PATH", "before")
    pytester.makepyfile(TESTS)
    pytester.runpytest_subprocess().assert_outcomes(passed=4)


def test_fixtures_have_a_description(pytester):
    result = pytester.runpytest_subprocess("--fixtures")
    result.stdout.fnmatch_lines(["xenstored*", "*fresh*daemon*", "xenstore *", "*client*"])


def test_loading_the_plugin_loads_no_daemon():
    program = "import sys, pyxs.pytest_plugin; print('pyxs.xenstored' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", program]) == b"False\n"
