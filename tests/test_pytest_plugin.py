"""The fixtures of pyxs for the tests of its users."""

import subprocess
import sys
import textwrap

import pytest

pytest_plugins = ["pytester"]


@pytest.fixture
def pytester(pytester):
    """A pytester whose runs do not load hypothesis, which takes most of their time."""
    pytester.plugins.append("no:hypothesispytest")
    return pytester


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
    import pathlib

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

    @pytest.mark.xenstore(snapshot={"/a": "1"})
    def test_keyword(xenstore):
        assert xenstore["/a"] == "1"

    @pytest.mark.xenstore(pathlib.Path("data") / "host.json", like="4.22")
    def test_version(xenstore):
        assert xenstore["/local/domain/1/name"] == "web"
        assert xenstore.get_feature() == 14

    @pytest.mark.xenstore("missing.json")
    def test_missing(xenstore):
        pass

    @pytest.mark.xenstore(None)
    def test_snapshot_of_another_type(xenstore):
        pass

    @pytest.mark.xenstore({}, {})
    def test_two_snapshots(xenstore):
        pass

    @pytest.mark.xenstore({}, snapshot={})
    def test_a_snapshot_twice(xenstore):
        pass

    @pytest.mark.xenstore(nodes={})
    def test_another_keyword(xenstore):
        pass

    @pytest.mark.xenstore(like="3.0")
    def test_another_version(xenstore):
        pass
"""


def test_a_marker_names_a_snapshot(pytester):
    below = pytester.mkdir("below")
    (below / "data").mkdir()
    (below / "data" / "host.json").write_text('{"/local/domain/1/name": "web"}')
    (below / "test_it.py").write_text(textwrap.dedent(WITH_A_SNAPSHOT))
    result = pytester.runpytest_subprocess("--strict-markers")
    result.assert_outcomes(passed=5, errors=6)
    result.stdout.fnmatch_lines(
        ["*missing.json*", *["*takes one snapshot, a dict or a file*"] * 4, "*like 4.17 and 4.22*"]
    )


WITHOUT_THE_FIXTURE = """
    import os
    import unittest

    import pytest
    import pyxs

    @pytest.mark.xenstore
    def test_an_empty_store():
        assert pyxs.Client().ls("/") == ["tool"]
        pyxs.Client().write("/a", "1")

    @pytest.mark.xenstore({"/a": "1"})
    @pytest.mark.parametrize("number", [1, 2])
    def test_a_parameter(number):
        assert pyxs.Client().read("/a") == "1"
        pyxs.Client().rm("/a")

    @pytest.mark.xenstore({"/a": "1"})
    class TestClass:
        def test_one(self):
            assert pyxs.Client().read("/a") == "1"

    @pytest.mark.xenstore({"/a": "1"})
    class TestCase(unittest.TestCase):
        def setUp(self):
            self.client = pyxs.Client()

        def test_one(self):
            self.assertEqual(self.client.read("/a"), "1")
            self.client.write("/a", "2")

        test_two = test_one

        @pytest.mark.xenstore({"/a": "1", "/b": "2"})
        def test_three(self):
            self.assertEqual(self.client.read("/b"), "2")

    def test_without_the_marker():
        assert os.environ["XENSTORED_PATH"] == "/the/real/store"
"""


def test_the_marker_is_enough_to_run_on_an_in_memory_daemon(pytester, monkeypatch):
    monkeypatch.setenv("XENSTORED_PATH", "/the/real/store")
    pytester.makepyfile(WITHOUT_THE_FIXTURE)
    pytester.runpytest_subprocess("--strict-markers").assert_outcomes(passed=8)


AFTER_A_SESSION = """
    import os

    def pytest_unconfigure():
        print("afterwards", os.environ.get("XENSTORED_PATH"))
"""


@pytest.fixture(params=[None, "/the/real/store"])
def three_pass(request, pytester, monkeypatch):
    """Run a file whose three tests pass, and see that the variable is as before afterwards."""
    monkeypatch.delenv("XENSTORED_PATH", raising=False)
    if request.param is not None:
        monkeypatch.setenv("XENSTORED_PATH", request.param)

    def run(text):
        pytester.makepyfile(text)
        pytester.makeconftest(AFTER_A_SESSION)
        result = pytester.runpytest_subprocess("-s")
        result.assert_outcomes(passed=3)
        result.stdout.fnmatch_lines(["afterwards {}".format(request.param)])
        return result

    return run


AROUND_A_TEST = """
    import os
    import unittest

    import pytest
    import pyxs

    def look(where):
        with pytest.raises(pyxs.ConnectionError, match="during each test only"):
            pyxs.Client().read("/a")
        print("looked", where)

    @pytest.fixture(scope="module")
    def module():
        look("module set up")
        yield
        look("module torn down")

    @pytest.mark.xenstore({"/a": "1"})
    @pytest.mark.usefixtures("module")
    class TestClass:
        def setup_class(self):
            look("class set up")

        def teardown_class(self):
            look("class torn down")

        def setup_method(self):
            self.value = pyxs.Client().read("/a")

        def test_one(self):
            assert self.value == "1"

        test_two = test_one

    @pytest.mark.xenstore({"/a": "1"})
    class TestCase(unittest.TestCase):
        @classmethod
        def setUpClass(cls):
            look("case set up")

        @classmethod
        def tearDownClass(cls):
            look("case torn down")

        def test_one(self):
            self.assertEqual(pyxs.Client().read("/a"), "1")
"""


def test_what_surrounds_a_marked_test_reaches_no_store(three_pass):
    result = three_pass(AROUND_A_TEST)
    for where in ("module", "class", "case"):
        result.stdout.fnmatch_lines(["*looked {} set up".format(where)])
        result.stdout.fnmatch_lines(["*looked {} torn down".format(where)])


OF_A_SESSION = """
    import os
    import pytest
    import pyxs

    @pytest.fixture(scope="module")
    def host(xenstored_session):
        with xenstored_session.client() as client:
            client.write("/host", "1")
            yield client

    def test_first(host, xenstored_session):
        assert os.environ["XENSTORED_PATH"] == xenstored_session.path
        assert pyxs.Client().read("/host") == "1"

    def test_a_store_of_its_own(xenstore, xenstored, host):
        assert os.environ["XENSTORED_PATH"] == xenstored.path
        assert not xenstore.exists("/host")

    def test_second(host):
        assert pyxs.Client().read("/host") == "1"
"""


def test_a_daemon_for_a_session(three_pass):
    three_pass(OF_A_SESSION)


def test_fixtures_have_a_description(pytester):
    result = pytester.runpytest_subprocess("--fixtures")
    for lines in (
        ["xenstored *", "*in-memory daemon*"],
        ["xenstored_session *", "*in-memory daemon*"],
        ["xenstore *", "*client*"],
    ):
        result.stdout.fnmatch_lines(lines)


def test_loading_the_plugin_loads_no_daemon():
    program = "import sys, pyxs.pytest_plugin; print('pyxs.xenstored' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", program]) == b"False\n"
