"""A memory balancer: shares a budget among the guests by the memory that they use.

    python docs/examples/balloon.py --budget 4194304        # KiB

A guest reports the memory it uses in memory/meminfo; the balancer answers in
memory/target, between memory/dynamic-min and memory/static-max. All are KiB.
"""

import argparse
from collections import namedtuple

from pyxs import Client

DOMAINS = "/local/domain"

Guest = namedtuple("Guest", "used least most")


def share(budget, guests):
    """Return the target of each guest in *guests*, a dict of :class:`Guest`.

    Each guest gets the least that it may have. Guests that use more share the rest, in
    proportion to what they lack.
    """
    targets = {domid: guest.least for domid, guest in guests.items()}
    missing = {
        domid: max(0, min(guest.used, guest.most) - guest.least) for domid, guest in guests.items()
    }
    rest = max(0, budget - sum(targets.values()))
    wanted = sum(missing.values())
    part = min(1.0, rest / wanted) if wanted else 0
    return {domid: targets[domid] + int(missing[domid] * part) for domid in guests}


def read_guests(t):
    """Return the guests that report what they use, by domid."""
    guests = {}
    for domid in t.ls(DOMAINS):
        names = ("memory/meminfo", "memory/dynamic-min", "memory/static-max")
        paths = ["{}/{}/{}".format(DOMAINS, domid, name) for name in names]
        values = list(t.read_many(paths, default="").values())
        if all(value.isdigit() for value in values):
            guests[domid] = Guest(*map(int, values))
    return guests


def balance(t, budget):
    """Write each guest's target, and return those that changed.

    Call this in a transaction. Without one, it could write a lone memory/target for a
    guest that has gone meanwhile.
    """
    changed = {}
    for domid, target in share(budget, read_guests(t)).items():
        path = "{}/{}/memory/target".format(DOMAINS, domid)
        if t.get(path) != str(target):
            t.write(path, target)
            changed[domid] = target
    return changed


def is_news(event):
    """Tell whether *event* may change the shares; our own writes do not."""
    return event.path.startswith("@") or event.path.endswith("/memory/meminfo")


def main():
    parser = argparse.ArgumentParser(description="share memory among the guests")
    parser.add_argument("--budget", type=int, required=True, metavar="KIB")
    args = parser.parse_args()
    wpaths = ("@introduceDomain", "@releaseDomain", DOMAINS)
    with Client() as client, client.monitor(*wpaths) as monitor:
        for event in monitor:
            if not is_news(event):
                continue
            changed = client.run_transaction(lambda t: balance(t, args.budget))
            for domid, target in changed.items():
                print("domain {} gets {} KiB".format(domid, target), flush=True)


if __name__ == "__main__":
    main()
