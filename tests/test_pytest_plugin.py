"""The fixtures of pyxs for the tests of its users."""

import subprocess
import sys
import textwrap

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


WITH_A_SNAPSHOT = """
    import pytest
    import pyxs

    @pytest.mark.xenstore("data/host.json")
    def test_file(xenstore):
        assert xenstore["/local/domain/1/name"] == "web"
        assert xenstore.is_domain_introduced(1)

    @pytest.mark.xenstore({"/a": "1", "/b": {"value": "2", "perms": ["n0", "r1"]}})
    def test_dict(xenstored):
        with pyxs.Client() as client:
            assert client.get_permissions("/b") == ["n0", "r1"]

    def test_none(xenstore):
        assert not xenstore.exists("/a")

    @pytest.mark.xenstore("missing.json")
    def test_missing(xenstore):
        pass

    @pytest.mark.xenstore
    def test_no_snapshot(xenstore):
        pass

    @pytest.mark.xenstore(None)
    def test_snapshot_of_another_type(xenstore):
        pass
"""


def test_a_marker_names_a_snapshot(pytester):
    below = pytester.mkdir("below")
    (below / "data").mkdir()
    (below / "data" / "host.json").write_text('{"/local/domain/1/name": "web"}')
    (below / "test_it.py").write_text(textwrap.dedent(WITH_A_SNAPSHOT))
    result = pytester.runpytest_subprocess("--strict-markers")
    result.assert_outcomes(passed=3, errors=3)
    result.stdout.fnmatch_lines(["*missing.json*", *["*takes one snapshot, a dict or a file*"] * 2])


def test_fixtures_have_a_description(pytester):
    result = pytester.runpytest_subprocess("--fixtures")
    result.stdout.fnmatch_lines(["xenstored*", "*in-memory daemon*", "xenstore *", "*client*"])


def test_loading_the_plugin_loads_no_daemon():
    program = "import sys, pyxs.pytest_plugin; print('pyxs.xenstored' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", program]) == b"False\n"
