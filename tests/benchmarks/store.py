"""The contents of the store while the peers are measured."""

import itertools
import subprocess

KEY = "/bench/key"
LONG_KEY = "/bench/long"  # 2,000 bytes
DIRECTORY = "/bench/directory"  # 10 children
TRANSACTION_KEY = "/bench/transaction"

# One guest as xl writes it: the paths under /local/domain/<domid>, inner nodes included.
_GUEST = """
vm                             /vm/7e0f4ea6-8f6d-44a0-9f8e-3c2b0d6e1a55
name                           guest
cpu
cpu/0
cpu/0/availability             online
cpu/1
cpu/1/availability             online
memory
memory/static-max              2097152
memory/target                  2080768
memory/videoram                16384
device
device/suspend
device/suspend/event-channel   9
device/vbd
device/vbd/51712
device/vbd/51712/backend       /local/domain/0/backend/vbd/7/51712
device/vbd/51712/backend-id    0
device/vbd/51712/state         4
device/vbd/51712/virtual-device 51712
device/vbd/51712/device-type   disk
device/vbd/51712/event-channel 12
device/vbd/51712/ring-ref      8
device/vbd/51712/protocol      x86_64-abi
device/vif
device/vif/0
device/vif/0/backend           /local/domain/0/backend/vif/7/0
device/vif/0/backend-id        0
device/vif/0/state             4
device/vif/0/handle            0
device/vif/0/mac               00:16:3e:5b:21:07
device/vif/0/mtu               1500
device/vif/0/tx-ring-ref       768
device/vif/0/rx-ring-ref       769
device/vif/0/event-channel     14
device/vif/0/request-rx-copy   1
device/vif/0/feature-sg        1
device/vif/0/feature-gso-tcpv4 1
control
control/shutdown
control/feature-poweroff       1
control/feature-reboot         1
control/feature-suspend        1
control/sysrq
control/platform-feature-multiprocessor-suspend 1
control/platform-feature-xs_reset_watches 1
data
drivers
feature
attr
error
domid                          7
store
store/port                     1
store/ring-ref                 1044476
console
console/backend                /local/domain/0/backend/console/7/0
console/backend-id             0
console/limit                  1048576
console/type                   xenconsoled
console/port                   2
console/ring-ref               1044479
console/tty                    /dev/pts/3
"""
GUEST = [(line.split() + [""])[:2] for line in _GUEST.strip().splitlines()]


def watched_key(peer):
    """Return the key that a peer watches; each has its own, so that no other gets events."""
    return "/bench/watched/" + peer.replace(" ", "-").replace(".", "-")


def many_keys(count):
    """Return the paths of the keys that are read and written in bulk."""
    return ["/bench/many/{}".format(index) for index in range(count)]


def tree(nodes):
    """Return the path of the tree with that many nodes."""
    return "/trees/{}".format(nodes)


def singles(keys):
    """Yield the nodes for the rows of single calls and of bulk calls."""
    yield KEY, "x" * 20
    yield LONG_KEY, "x" * 2000
    yield TRANSACTION_KEY, "0"
    for index in range(10):
        yield "{}/{}".format(DIRECTORY, index), ""
    for path in many_keys(keys):
        yield path, "x" * 20


def guests(nodes):
    """Yield a tree of that many nodes, guest after guest; 12,801 nodes are 200 guests."""
    return itertools.islice(_guests(tree(nodes)), nodes)


def _guests(top):
    yield top, ""
    for domid in itertools.count(1):
        yield "{}/{}".format(top, domid), ""
        for path, value in GUEST:
            yield "{}/{}/{}".format(top, domid, path), value


def fill(daemon, nodes):
    """Write *nodes* with the C tool, which does not affect the processes of the peers."""
    pairs = iter(nodes)
    for batch in iter(lambda: list(itertools.islice(pairs, 500)), []):
        subprocess.run(
            ["xenstore-write"] + [argument for pair in batch for argument in pair],
            env=daemon.environ,
            check=True,
        )


def remove(daemon, path):
    subprocess.run(["xenstore-rm", path], env=daemon.environ, check=True)


def count(daemon, top):
    """Return how many nodes the C tool finds at and under *top*."""
    listing = subprocess.run(
        ["xenstore-ls", "-f", top], env=daemon.environ, stdout=subprocess.PIPE, check=True
    )
    return 1 + len(listing.stdout.splitlines())
