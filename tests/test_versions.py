"""What the client makes of a daemon of Xen 4.22 that daemons of 4.17 do not know."""

import errno

import pytest

import pyxs
from fakes import FakeBus
from pyxs import snapshot
from pyxs.xenstored import XenStored


@pytest.fixture
def daemon():
    with XenStored(like="4.22") as running:
        yield running


@pytest.mark.parametrize("kind", [pyxs.UnixSocketConnection, FakeBus])
def test_a_guest_asks_for_its_features(daemon, kind):
    with pyxs.Client(connection=kind(daemon.socket_for(7))) as guest:
        assert guest.get_feature() > 0
        for refused in (lambda: guest.get_feature(0), guest.get_quota):
            with pytest.raises(pyxs.PermissionDenied):
                refused()


def test_dom0_asks_for_features_and_quotas_over_either(daemon):
    with pyxs.Client(daemon.path) as client, pyxs.Client(connection=FakeBus(daemon.path)) as other:
        assert client.get_feature() == other.get_feature() == client.get_feature("0")
        assert client.get_quota() == other.get_quota()


def test_domid_any_is_set_over_xenbus_but_owns_nothing(daemon):
    perms = ["n7", "r32757"]
    with pyxs.Client(daemon.path) as client:
        client.write("/local/domain/7/data", "", perms=["n7"])
    with pyxs.Client(connection=FakeBus(daemon.socket_for(7))) as guest:
        guest.write("data/a", "", perms=perms)
        guest.set_permissions("data/a", guest.get_permissions("data/a"))
        assert guest.get_permissions("data/a") == perms
        saved = snapshot.take(guest, "data/a")
        guest.rm("data/a")
        snapshot.restore(guest, saved)
        assert guest.get_permissions("data/a") == perms
        with pytest.raises(pyxs.InvalidPermission, match="DOMID_ANY"):
            guest.set_permissions("data/a", ["n32757"])


def test_depth_over_xenbus_is_refused_or_left_out(daemon):
    with pyxs.Client(connection=FakeBus(daemon.path)).monitor() as monitor:
        with pytest.raises(pyxs.PyXSError, match="try_depth watches all") as caught:
            monitor.watch("/a", depth=1)
        assert caught.value.errno == errno.ENOSYS
        monitor.watch("/a", try_depth=1)
        assert monitor.wait(timeout=5).path == "/a"


def test_an_invalid_depth_is_no_daemon_without_depth(daemon):
    with pyxs.Client(daemon.path).monitor() as monitor:
        for depth in (-1, "1", 2**31):
            with pytest.raises(pyxs.InvalidPayload, match="^try_depth"):
                monitor.watch("/a", try_depth=depth)
        with pytest.raises(pyxs.InvalidPayload, match="either this or depth"):
            monitor.watch("/a", depth=1, try_depth=1)


def test_a_depth_watch_hears_which_domain_went():
    with XenStored(like="4.22") as daemon, pyxs.Client(daemon.path) as client:
        client.SU = True
        client.introduce_domain(7, 1, 1)
        with client.monitor() as monitor:
            monitor.watch("@releaseDomain", "t", depth=1)
            assert monitor.wait(timeout=5) == ("@releaseDomain", "t")
            client.release_domain(7)
            assert monitor.wait(timeout=5) == ("@releaseDomain/7", "t")


def test_a_snapshot_of_a_guest_with_domid_any_starts_a_daemon():
    nodes = {"/a": {"value": "", "perms": ["n0", "r32757"]}}
    with XenStored(snapshot=nodes, like="4.22") as daemon, pyxs.Client(daemon.path) as client:
        assert client.get_permissions("/a") == ["n0", "r32757"]
        with pytest.warns(RuntimeWarning, match="left out.*: /a$"):
            snapshot.restore(client, snapshot.take(client))
