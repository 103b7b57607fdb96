"""The chart of the page on speed, from the benchmark's JSON."""

import matplotlib.pyplot as plt
from matplotlib.ticker import FuncFormatter
from speed_table import measured

PEERS = {"pyxs": "#2a6fdb", "pyxs 0.4.1": "#9a5b00"}
TICKS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20]


def times(row, peer):
    """Return how many times the C extension's time the *peer* takes, or ``None``."""
    if peer == "pyxs" and row["beside"]["peer"] == "C extension":
        return row["ratio"]
    if row["peers"].get(peer) is None:
        return None
    return row["peers"][peer]["wall"] / row["peers"]["C extension"]["wall"]


def compared(results):
    """Return the rows that compare the time of peers, from the fastest to the slowest."""
    chosen = [
        row
        for row in results
        if row["figure"] == "wall"
        and "C extension" in row["peers"]
        and row["beside"]["peer"] != "bare loop"
    ]
    return sorted(chosen, key=lambda row: times(row, "pyxs"), reverse=True)


def draw(results):
    chosen = compared(results)
    _, axes = plt.subplots(figsize=(8, 0.42 * len(chosen) + 1), layout="constrained")
    axes.axvline(1, color="#8a8f98", zorder=0)
    for peer, colour in PEERS.items():
        ratios = [times(row, peer) for row in chosen]
        at = [place for place, ratio in enumerate(ratios) if ratio is not None]
        shown = [ratio for ratio in ratios if ratio is not None]
        above = 7 if peer == "pyxs" else -14
        axes.scatter(shown, at, color=colour, label=peer)
        for place, ratio in zip(at, shown):
            axes.annotate(
                "{:.2f}".format(ratio),
                (ratio, place),
                xytext=(0, above),
                textcoords="offset points",
                ha="center",
                fontsize=8,
                color=colour,
            )
    axes.set_xscale("log")
    axes.set_xticks(TICKS, minor=False)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: "{:g}".format(value)))
    axes.minorticks_off()
    axes.set_yticks(range(len(chosen)), [row["work"] for row in chosen])
    axes.set_xlabel("time, as a multiple of the C extension's; left of 1 is faster")
    axes.grid(axis="y", color="#e5e7eb")
    axes.set_axisbelow(True)
    axes.set_ylim(-0.8, len(chosen) - 0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(0, 1.12), ncols=2)


draw(measured())
