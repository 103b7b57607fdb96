"""Prints the requests that a program repeats most, from what ``pyxs trace --json`` wrote.

::

    pyxs trace --json -o requests.json -- ./program
    python3 repeated_requests.py requests.json
"""

import argparse
import collections
import json


def main(file):
    times = collections.Counter()
    us = collections.Counter()
    with open(file) as lines:
        for line in lines:
            request = json.loads(line)
            if request.get("us") is None:  # an event, a request without a reply, or the summary
                continue
            what = "{op} {path}".format(**request)
            times[what] += 1
            us[what] += request["us"]
    for what, number in times.most_common(10):
        if number > 1:
            print("{:6} times {:8} us  {}".format(number, us[what], what))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="print the requests that are repeated most")
    parser.add_argument("file", metavar="FILE")
    main(parser.parse_args().file)
