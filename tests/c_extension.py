"""Runs programs of calls through the C extension ``xen.lowlevel.xs``.

Only the Python for which the extension was built can run this. Each line of the input is
a program in JSON, ``{"path": socket, "calls": [[handle, method, argument…], …]}``. Each
line of the output has the results or errors of its calls, and the events of every handle
after each call. An argument ``{"transaction": name}`` stands for the last result of
``transaction_start`` with that name on that handle.
"""

import json
import os
import sys

import xen_utils

sys.path.insert(0, xen_utils.EXTENSION)

from xen.lowlevel import xs

HANDLES = 2


class Handle:
    def __init__(self, number):
        self.xs = xs.xs()
        self.transactions = {}
        self.fence = "/fence-{}".format(number)
        self.xs.write("", self.fence, "")
        self.xs.watch(self.fence, "fence")
        self.xs.read_watch()

    def call(self, method, arguments):
        name = ""
        if method == "transaction_start":
            name = arguments.pop()
        arguments = [
            self.transactions.get(each["transaction"], "") if isinstance(each, dict) else each
            for each in arguments
        ]
        try:
            result = getattr(self.xs, method)(*arguments)
        except xs.Error as error:
            return ["raises"] + list(error.args)
        if name:
            self.transactions[name] = result
        return repr(result)

    def events(self):
        self.xs.write("", self.fence, "")
        events = []
        while True:
            path, token = self.xs.read_watch()
            if token == "fence":
                return events
            if not path.startswith("/fence"):
                events.append([path, token])


def run(program):
    os.environ["XENSTORED_PATH"] = program["path"]
    handles = [Handle(number) for number in range(HANDLES)]
    results = []
    for number, method, *arguments in program["calls"]:
        result = handles[number].call(method, arguments)
        results.append([result, [handle.events() for handle in handles]])
    for handle in handles:
        handle.xs.close()
    return results


for line in sys.stdin:
    print(json.dumps(run(json.loads(line))), flush=True)
