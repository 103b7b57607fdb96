"""A storage script: attaches disks by relative paths, and numbers them in transactions."""

import sys

from xen.lowlevel.xs import xs

store = xs()


def next_number():
    while True:
        transaction = store.transaction_start()
        number = int(store.read(transaction, "storage/next") or b"0")
        store.write(transaction, "storage/next", str(number + 1))
        if store.transaction_end(transaction):
            return number
        # False: somebody else was faster.


def attach(image):
    base = "backend/vbd/{}".format(next_number())
    while True:
        transaction = store.transaction_start()
        store.rm(transaction, base + "/hotplug-error")  # of an earlier attempt, if any
        store.write(transaction, base + "/params", image)
        store.write(transaction, base + "/hotplug-status", "connected")
        if store.transaction_end(transaction, 0) == False:  # noqa: E712
            continue
        return base


def detach(base):
    store.rm("", base)
    store.rm("", base)
    assert store.read("", base + "/params") is None
    assert store.ls("", base) is None


for number in range(int(sys.argv[1])):
    base = attach("/images/{}.raw".format(number))
    assert store.read("", base + "/params") == b"/images/%d.raw" % number
    if number % 2:
        detach(base)
store.close()
