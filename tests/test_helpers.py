"""Validation by the rules of xenstore.txt."""

import errno
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyxs import InvalidPath, InvalidPayload, InvalidPermission, PyXSError
from pyxs.helpers import (
    error,
    refuse_any_domain,
    validate_domid,
    validate_number,
    validate_path,
    validate_perms,
    validate_text,
    validate_token,
    validate_value,
    validate_watch_path,
)

ALLOWED = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-/_@"


# -- error ---------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [22, "EINVAL", errno.EINVAL, b"EINVAL"])
def test_an_errno_by_number_or_by_name(code):
    assert error(code).args == error(smth=code).args == (22, "Invalid argument")
    assert error(code).path is None


def test_an_error_names_its_path_and_why_pyxs_refuses():
    exc = error("EINVAL", "/a", "why")
    assert exc.args == (22, "Invalid argument")
    assert exc.why == "why"
    assert str(exc) == "[Errno 22] Invalid argument: '/a'; why"
    assert str(error("EPERM", why="why")) == "[Errno 1] Operation not permitted; why"


@pytest.mark.parametrize("name", ["EWHATEVER", "errorcode", "__doc__", "", "2"])
def test_a_name_that_errno_lacks_is_kept_in_the_message(name):
    exc = error(name)
    assert type(exc) is PyXSError
    assert exc.errno == errno.EINVAL
    assert name in exc.strerror


# -- paths ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["/", "/a", "a", "/a/b-c_d@e", "device/vif/0", "@introduceDomain", "/@releaseDomain"]
)
def test_a_good_path_is_returned_as_bytes(path):
    assert validate_path(path) == path.encode()
    assert validate_path(path.encode()) == path.encode()


@pytest.mark.parametrize(
    ("path", "rule"),
    [
        ("", "empty"),
        ("//", "'//'"),
        ("//a", "'//'"),
        ("/a//b", "'//'"),
        ("/a/", "end with"),
        ("a/", "end with"),
        ("/a\n", "characters"),
        ("/a\0", "characters"),
        ("/a b", "characters"),
        ("/a.b", "characters"),
        ("/\u00e9", "characters"),
        ("/\u0663", "characters"),  # a digit, but not ASCII
        ("/\udcff", "characters"),
        (b"/\xff", "characters"),
        (None, "str or bytes"),
        (1, "str or bytes"),
        (["/a"], "str or bytes"),
        (bytearray(b"/a"), "str or bytes"),
    ],
)
def test_a_bad_path_is_named_together_with_the_rule(path, rule):
    with pytest.raises(InvalidPath, match=rule) as caught:
        validate_path(path)
    assert str(caught.value).startswith(repr(path))


@pytest.mark.parametrize(("start", "limit"), [("/", 3072), ("a", 2048)])
def test_a_path_has_its_length(start, limit):
    longest = start + "x" * (limit - 1)
    assert validate_path(longest) == longest.encode()
    with pytest.raises(InvalidPath, match="{} bytes; ".format(limit + 1)):
        validate_path(longest + "x")


def test_an_argument_of_more_than_80_characters_is_shortened_in_the_message():
    shown = repr("." * 78)
    assert len(shown) == 80
    with pytest.raises(InvalidPath, match="^" + re.escape(shown) + ": a path "):
        validate_path("." * 78)
    with pytest.raises(InvalidPath, match=r"^'\.{59}…\.{9}': a path "):
        validate_path("." * 79)


@given(st.text(alphabet=ALLOWED + "\0\n .\u00e9", max_size=20))
def test_the_rules_of_xenstore_txt_and_no_others(path):
    good = (
        bool(path)
        and set(path) <= set(ALLOWED)
        and "//" not in path
        and (path == "/" or not path.endswith("/"))
    )
    if good:
        assert validate_path(path) == path.encode("ascii")
    else:
        with pytest.raises(InvalidPath):
            validate_path(path)


# -- watch paths ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wpath",
    ["/", "/a", "device", "@introduceDomain", "@releaseDomain", "@releaseDomain/65535"],
)
def test_a_good_watch_path(wpath):
    assert validate_watch_path(wpath) == wpath.encode()


@pytest.mark.parametrize(
    "wpath",
    [
        "@",
        "@other",
        "@introduceDomain/1",
        "@releaseDomain/",
        "@releaseDomain/65536",
        "@releaseDomain/x",
        "@releaseDomain/1/2",
        "@releaseDomain/-1",
        "@releaseDomain\n",
    ],
)
def test_a_bad_special_path(wpath):
    with pytest.raises(InvalidPath, match="special path"):
        validate_watch_path(wpath)


@pytest.mark.parametrize("wpath", ["", "/a/", "/a\n", None, 5, "a.b", "@releaseDomain/\u0663"])
def test_a_bad_watch_path(wpath):
    with pytest.raises(InvalidPath):
        validate_watch_path(wpath)


# -- permissions ---------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [list, tuple, iter])
def test_good_permissions_from_any_iterable(kind):
    assert validate_perms(kind(["n0", b"r5", "w65535", "b1"])) == [b"n0", b"r5", b"w65535", b"b1"]


@pytest.mark.parametrize(
    "entry",
    ["", "r", "5", "x5", "r5 ", "r5\n", "r-1", "rw5", "R5", "r65536", "r\u0663", "r000001"]
    + [b"r\xff", None, 5, ("r", 5)],
)
def test_a_bad_permission_is_named(entry):
    with pytest.raises(InvalidPermission, match=re.escape(repr(entry))):
        validate_perms(["n0", entry])


def test_the_domids_of_permissions_have_a_limit():
    with pytest.raises(InvalidPermission, match="'r65536': .* a domid from 0 to 65535, "):
        validate_perms(["n0", "r65536"])


@pytest.mark.parametrize("perms", ["r5", b"r5", "", None, 5, []])
def test_permissions_are_a_list_that_is_not_empty(perms):
    with pytest.raises(InvalidPermission):
        validate_perms(perms)


def test_an_exception_of_an_iterable_of_permissions_is_raised():
    def entries():
        yield "n0"
        raise TypeError("the caller's own")

    with pytest.raises(TypeError, match="the caller's own"):
        validate_perms(entries())


@pytest.mark.parametrize("entry", ["r32757", "n32757", "w32757", b"b32757"])
def test_domid_any_is_refused(entry):
    for perms in ([entry], ["n0", entry]):
        with pytest.raises(InvalidPermission, match="DOMID_ANY"):
            validate_perms(perms)
    with pytest.raises(InvalidPermission, match="^{!r}: this domid is DOMID_ANY".format(entry)):
        refuse_any_domain(b"n32757", entry)
    with pytest.raises(InvalidPermission, match="^'n32757': this domid is DOMID_ANY"):
        refuse_any_domain(b"n32757")


# -- numbers -------------------------------------------------------------------------------


@pytest.mark.parametrize("domid", [0, 1, 65535])
def test_a_good_domid(domid):
    assert validate_domid(domid) == domid


@pytest.mark.parametrize("domid", [-1, 65536, 2**64, 1.0, None, True, False, [1]])
def test_a_bad_domid_is_named(domid):
    with pytest.raises(InvalidPayload, match=r"domid .*from 0 to 65535"):
        validate_domid(domid)


def test_domain_0_can_be_excluded():
    with pytest.raises(InvalidPayload, match="from 1 to 65535"):
        validate_domid(0, minimum=1)


def test_a_number_is_named_with_its_bounds():
    assert validate_number(5, "offset", 5, 5) == 5
    with pytest.raises(InvalidPayload, match="offset 6: must be an integer from 0 to 5"):
        validate_number(6, "offset", 0, 5)


def test_a_number_of_another_type_is_named_with_its_type():
    with pytest.raises(InvalidPayload, match="True: .*, not bool$"):
        validate_domid(True)


# -- text, tokens, values ------------------------------------------------------------------


@pytest.mark.parametrize("validate", [lambda text: validate_text(text, "token"), validate_token])
def test_good_text(validate):
    assert validate("t \u20ac\udcff") == b"t \xe2\x82\xac\xff"
    assert validate(b"t\xff") == b"t\xff"


@pytest.mark.parametrize("validate", [lambda text: validate_text(text, "token"), validate_token])
@pytest.mark.parametrize("text", [None, 5, ["t"], "a\0", "\0", b"a\0b", "\ud800"])
def test_bad_text_is_named(validate, text):
    with pytest.raises(InvalidPayload, match="token " + re.escape(repr(text))):
        validate(text)


def test_only_a_token_may_not_be_empty():
    assert validate_text("", "argument") == b""
    with pytest.raises(InvalidPayload, match="empty"):
        validate_token("")


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        ("", b""),
        (b"", b""),
        ("one\ntwo\n", b"one\ntwo\n"),
        ("\u20ac", b"\xe2\x82\xac"),
        ("\udcff", b"\xff"),
        (b"\0\xff\0x", b"\0\xff\0x"),
        ("a\0b", b"a\0b"),
        (5, b"5"),
        (1.5, b"1.5"),
    ],
)
def test_a_value_is_text_or_a_number(value, stored):
    assert validate_value(value) == stored


@pytest.mark.parametrize("value", ["\0", b"a\0", "a\0\0", "\ud800"])
def test_a_bad_value_is_named(value):
    with pytest.raises(InvalidPayload, match="value " + re.escape(repr(value))):
        validate_value(value)


@given(st.binary(max_size=100).filter(lambda value: not value.endswith(b"\0")))
def test_every_value_that_was_decoded_encodes_to_the_same_bytes(value):
    assert validate_value(value.decode("utf-8", "surrogateescape")) == value


@pytest.mark.parametrize(("minimum", "maximum"), [(0, 65535), (1, 32751)])
def test_the_ends_of_the_range_of_a_domid_are_in_it_also_as_digits(minimum, maximum):
    for domid in (minimum, maximum):
        for form in (domid, str(domid), b"%d" % domid):
            assert validate_domid(form, "domid", minimum, maximum) == domid
