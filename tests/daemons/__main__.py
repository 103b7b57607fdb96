"""Run a daemon by hand until it is interrupted: ``python -m daemons c``, in ``tests``."""

import argparse
import signal

import daemons


def main():
    parser = argparse.ArgumentParser(prog="python -m daemons", description=__doc__)
    parser.add_argument("kind", choices=daemons.KINDS)
    kind = parser.parse_args().kind
    missing = daemons.missing(kind)
    if missing is not None:
        parser.error(missing)
    with daemons.start(kind) as daemon:
        print("export XENSTORED_PATH={}".format(daemon.path), flush=True)
        signal.sigwait({signal.SIGINT, signal.SIGTERM})


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    main()
