"""Print which domains come and go.

python docs/examples/domains.py
"""

from pyxs import Client


def changes(client):
    """Yield the domids that have come and those that have gone; at first, all that exist."""
    known = set()
    with client.monitor("@introduceDomain", "@releaseDomain") as monitor:
        for _event in monitor:
            present = domids(client)
            if present != known:
                yield present - known, known - present
            known = present


def domids(client):
    """Return the domids of the domains that the daemon talks to."""
    listed = [int(name) for name in client.ls("/local/domain") if name.isdigit()]
    return {domid for domid in listed if client.is_domain_introduced(domid)}


def main():
    with Client() as client:
        for came, went in changes(client):
            for domid in sorted(came):
                print("domain {} is there".format(domid), flush=True)
            for domid in sorted(went):
                print("domain {} is gone".format(domid), flush=True)


if __name__ == "__main__":
    main()
