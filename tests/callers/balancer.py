"""A memory balancer: each guest gets what it says it needs, and a tenth more."""

import dataclasses

import xen.lowlevel.xs


@dataclasses.dataclass
class Domains:
    """Watches the domains that come and go."""


@dataclasses.dataclass
class Guest:
    """Watches what a guest says of its memory."""

    domid: int
    target: int = 0

    @property
    def path(self):
        return "/local/domain/{}/memory/".format(self.domid)


class Balancer:
    def __init__(self):
        self.xs = xen.lowlevel.xs.xs()
        self.introduced, self.released = Domains(), Domains()
        assert self.introduced == self.released
        self.guests = {}

    def run(self):
        self.xs.watch("@introduceDomain", self.introduced)
        self.xs.watch("@releaseDomain", self.released)
        self.xs.watch("/tool/balancer/stop", "stop")
        print("running", flush=True)
        while self.xs.read("", "/tool/balancer/stop") is None:
            path, token = self.xs.read_watch()
            if token is self.introduced:
                self.add()
            elif token is self.released:
                self.remove()
            elif isinstance(token, Guest) and path == token.path + "meminfo":
                self.balance(token)

    def domids(self):
        return {int(name) for name in self.xs.ls("", "/local/domain") or [] if name != "0"}

    def add(self):
        for domid in sorted(self.domids() - set(self.guests)):
            guest = self.guests[domid] = Guest(domid)
            self.xs.watch(guest.path + "meminfo", guest)
            print("guest", domid, flush=True)

    def remove(self):
        for domid in sorted(set(self.guests) - self.domids()):
            guest = self.guests.pop(domid)
            self.xs.unwatch(guest.path + "meminfo", guest)
            print("no guest", domid, flush=True)

    def balance(self, guest):
        needed = self.xs.read("", guest.path + "meminfo")
        if needed is None:
            return
        target = int(needed) * 11 // 10
        if target != guest.target:
            guest.target = target
            self.xs.write("", guest.path + "target", str(target))
            print("target", guest.domid, target, flush=True)


Balancer().run()
