"""The chart of the page on speed, from the benchmark's JSON."""

import matplotlib.pyplot as plt
from speed_table import measured

PEERS = {"pyxs": "#2a6fdb", "C extension": "#8a8f98", "pyxs 0.4.1": "#d9a13b"}


def compared(results):
    """Return the rows that compare the time of peers, the slowest first."""
    chosen = [r for r in results if r["figure"] == "wall" and "C extension" in r["peers"]]
    return sorted(chosen, key=lambda r: r["peers"]["pyxs"]["wall"])


def draw(results):
    chosen = compared(results)
    _, axes = plt.subplots(figsize=(8, 0.62 * len(chosen) + 1), layout="constrained")
    height = 0.8 / len(PEERS)
    for place, (peer, colour) in enumerate(PEERS.items()):
        microseconds = [r["peers"].get(peer, {}).get("wall", 0) * 1e6 for r in chosen]
        at = [row - place * height for row in range(len(chosen))]
        bars = axes.barh(at, microseconds, height, label=peer, color=colour)
        axes.bar_label(bars, fmt=lambda value: "{:.0f}".format(value) if value else "", padding=3)
    axes.set_yticks([row - height for row in range(len(chosen))], [r["work"] for r in chosen])
    axes.set_xlabel("microseconds per call, key, node or event; less is better")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower right")


draw(measured())
