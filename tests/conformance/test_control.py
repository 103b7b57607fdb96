"""Control commands, features and quotas."""

import pytest

import pyxs

from . import outcome, refused

pytestmark = pytest.mark.own_daemon


def test_control_gives_the_daemons_text(client, known):
    text = client.control("help")
    assert isinstance(text, str)
    for word in known("words of control help"):
        assert word in text


def test_control_passes_arguments(client):
    assert client.control("print", "a text") == "OK"


def test_an_unknown_control_command(client, known):
    assert outcome(client.control, "nonsense") == known("an unknown control command")


@pytest.mark.parametrize("bad", [None, 7, "a\0b", ["help"], "x" * 5000])
def test_a_malformed_control_command_is_refused(client, bad):
    with pytest.raises(pyxs.InvalidPayload):
        client.control(bad)
    with pytest.raises(pyxs.InvalidPayload):
        client.control("print", bad)


def test_features(client, known):
    if known("features") == "ENOSYS":
        for call in (
            lambda: client.get_feature(),
            lambda: client.get_feature(7),
            lambda: client.set_feature(7, 0),
        ):
            with refused("ENOSYS"):
                call()
        return
    bits = client.get_feature()
    assert isinstance(bits, int)
    assert client.get_feature(7) == bits
    assert client.set_feature(7, 0) is None
    assert client.get_feature(7) == 0
    assert client.get_feature() == bits
    client.introduce_domain(7, 1, 1)
    assert client.get_feature(7) == 0
    with refused("EBUSY"):
        client.set_feature(7, bits)


def test_quotas(client, known):
    if known("quotas") == "ENOSYS":
        for call in (
            lambda: client.get_quota(),
            lambda: client.get_quota("nodes"),
            lambda: client.get_quota("nodes", 7),
            lambda: client.set_quota("nodes", 7),
        ):
            with refused("ENOSYS"):
                call()
        return
    client.introduce_domain(7, 1, 1)
    for name in client.get_quota():
        value = client.get_quota(name)
        assert isinstance(value, int)
        client.set_quota(name, value + 1)
        assert client.get_quota(name) == value + 1
        client.set_quota(name, 5, domid=7)
        assert client.get_quota(name, domid=7) == 5
        assert client.get_quota(name) == value + 1
    with refused("EINVAL"):
        client.get_quota("no-such-quota")
