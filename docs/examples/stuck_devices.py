"""Reports each device whose ends have not come together for some seconds.

::

    pyxs devices --watch --json | python3 stuck_devices.py 30
"""

import argparse
import json
import sys
import threading

STUCK = "domain {domid}: {device}: frontend {frontend_state}, backend {backend_state}\n"


def report(device):
    # One call: print() writes the end of the line by another, and several threads report.
    sys.stdout.write(STUCK.format(**device))
    sys.stdout.flush()


def main(seconds):
    timers = {}  # of the devices whose ends are in different states
    for line in sys.stdin:
        device = json.loads(line)
        key = device["domid"], device["device"]
        if key in timers:
            timers.pop(key).cancel()
        gone = device["frontend"] is None and device["backend"] is None
        if device["mismatch"] and not gone:
            timers[key] = threading.Timer(seconds, report, [device])
            timers[key].start()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="report devices that stay stuck")
    parser.add_argument("seconds", type=float, metavar="SECONDS")
    main(parser.parse_args().seconds)
