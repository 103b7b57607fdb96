"""Introducing, releasing and asking about domains."""

import pytest

import pyxs

from . import outcome, refused


@pytest.mark.anywhere
@pytest.mark.parametrize("domid", [0, 1, 7, 32751])
def test_the_path_of_a_domain(client, domid):
    # The domain need not exist.
    assert client.get_domain_path(domid) == "/local/domain/{}".format(domid)


@pytest.mark.dom0
def test_domain_0_is_introduced(client):
    assert client.is_domain_introduced(0) is True


@pytest.mark.own_daemon
def test_a_domain_is_introduced_until_it_is_released(client):
    assert client.is_domain_introduced(7) is False
    assert client.introduce_domain(7, 1, 1) is None
    assert client.is_domain_introduced(7) is True
    assert client.is_domain_introduced(2) is False
    assert client.release_domain(7) is None
    assert client.is_domain_introduced(7) is False


@pytest.mark.own_daemon
def test_a_domain_may_be_introduced_again(client):
    # A toolstack introduces a domain again after a soft reset, with the same ring.
    client.introduce_domain(7, 1, 1)
    client.introduce_domain(7, 1, 1)
    client.release_domain(7)
    client.introduce_domain(7, 2, 2)
    assert client.is_domain_introduced(7)


@pytest.mark.own_daemon
def test_a_frame_number_above_31_bits_reaches_the_daemon(client):
    client.introduce_domain(7, 2**31 + 1, 1)
    assert client.is_domain_introduced(7)


@pytest.mark.own_daemon
def test_releasing_a_domain_that_was_not_introduced(client, known):
    assert outcome(client.release_domain, 7) == known("releasing what was not introduced")


@pytest.mark.own_daemon
def test_domain_0_is_neither_introduced_nor_released(client):
    client.write("/key", "kept")
    # RELEASE of domain 0 wipes oxenstored's store.
    for call in (
        lambda: client.introduce_domain(0, 1, 1),
        lambda: client.release_domain(0),
    ):
        with pytest.raises(ValueError, match="domid"):
            call()
    assert client.read("/key") == "kept"
    assert client.is_domain_introduced(0)


@pytest.mark.own_daemon
def test_a_domain_is_resumed(client, known):
    client.introduce_domain(7, 1, 1)
    assert client.resume_domain(7) is None
    assert outcome(client.resume_domain, 2) == known("resuming what was not introduced")


@pytest.mark.own_daemon
def test_a_domain_is_made_another_ones_target(client):
    client.introduce_domain(1, 1, 1)
    client.introduce_domain(7, 1, 1)
    assert client.set_target(1, 7) is None


@pytest.mark.own_daemon
def test_the_domain_that_gets_a_target_has_to_be_introduced(client):
    client.introduce_domain(7, 1, 1)
    with refused("ENOENT"):
        client.set_target(1, 7)


@pytest.mark.own_daemon
def test_a_target_that_was_not_introduced(client, known):
    client.introduce_domain(7, 1, 1)
    assert outcome(client.set_target, 7, 1) == known("a target that was not introduced")


BAD = [-1, 65536, 2**40, 7.0, True, None, [7]]


@pytest.mark.own_daemon
@pytest.mark.parametrize("bad", BAD, ids=repr)
def test_a_domid_is_an_integer_of_16_bits(client, bad):
    for call in (
        lambda: client.get_domain_path(bad),
        lambda: client.is_domain_introduced(bad),
        lambda: client.introduce_domain(bad, 1, 1),
        lambda: client.release_domain(bad),
        lambda: client.resume_domain(bad),
        lambda: client.set_target(bad, 7),
    ):
        with pytest.raises(ValueError, match="domid"):
            call()
    with pytest.raises(ValueError, match="target"):
        client.set_target(7, bad)


@pytest.mark.own_daemon
@pytest.mark.parametrize("bad", ["1", 1.0, None, True, 2**70], ids=repr)
def test_a_frame_and_an_event_channel_are_integers(client, bad):
    with pytest.raises(ValueError, match="mfn"):
        client.introduce_domain(7, bad, 1)
    with pytest.raises(ValueError, match="eventchn"):
        client.introduce_domain(7, 1, bad)
    assert not client.is_domain_introduced(7)


@pytest.mark.own_daemon
def test_without_dom0s_privileges_nothing_is_sent(client):
    client.SU = False
    for call in (
        lambda: client.introduce_domain(7, 1, 1),
        lambda: client.release_domain(7),
        lambda: client.resume_domain(7),
        lambda: client.set_target(1, 7),
    ):
        with refused("EPERM"):
            call()
    assert not client.is_domain_introduced(7)
    client.SU = True
    client.introduce_domain(7, 1, 1)
    assert client.is_domain_introduced(7)


@pytest.mark.anywhere
def test_bad_domids_are_errors_of_pyxs(client):
    with pytest.raises(pyxs.PyXSError):
        client.get_domain_path(-1)
