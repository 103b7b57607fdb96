"""The picture of the package: the modules and what they import, drawn from the imports."""

import functools

import grimp
import matplotlib.pyplot as plt

WIDTH = 2.0
HEIGHT = 1.0
PUBLIC, PRIVATE, LINE = "#cfe0fa", "#e9eaec", "#6b7280"


def imported():
    """Return for each module or folder of the top level what it imports of the others."""
    graph = grimp.build_graph("pyxs", cache_dir=None)
    # For type checkers alone: the bound of a type variable.
    graph.remove_import(importer="pyxs._annotations.types", imported="pyxs.client")
    places = graph.find_children("pyxs")
    for place in places:
        graph.squash_module(place)
    name = {place: place.split(".")[1] for place in places}
    name["pyxs"] = "__init__"
    return {
        name[place]: {name[each] for each in graph.find_modules_directly_imported_by(place)}
        - {name[place]}
        for place in name
    }


def draw(imports):
    @functools.lru_cache(maxsize=None)
    def below(place):
        return imports[place].union(*map(below, imports[place]))

    @functools.lru_cache(maxsize=None)
    def level(place):
        return 1 + max(map(level, imports[place]), default=-1)

    rows = [[] for _ in range(1 + max(map(level, imports)))]
    for place in sorted(imports):
        rows[level(place)].append(place)
    widest = max(map(len, rows))
    at = {}

    def middle_of_importers(name):
        above = [at[place][0] for place in at if name in imports[place]]
        return sum(above) / len(above) if above else 0

    for height, row in reversed(list(enumerate(rows))):
        for place, name in enumerate(sorted(row, key=middle_of_importers)):
            left = (widest - len(row)) / 2 + place + 0.3 * (height % 2)
            at[name] = left * WIDTH, height * HEIGHT

    figure, axes = plt.subplots(figsize=(8, 0.75 * len(rows)), layout="constrained")
    boxes = {}
    for place, (x, y) in at.items():
        colour = PRIVATE if place.startswith("_") and not place.endswith("__") else PUBLIC
        box = {"boxstyle": "round,pad=0.35", "facecolor": colour, "edgecolor": LINE}
        label = axes.text(x, y, place, ha="center", va="center", fontsize=9, bbox=box)
        boxes[place] = label.get_bbox_patch()
    for place, others in imports.items():
        indirect = set().union(*map(below, others))
        for other in others - indirect:
            ends = {"patchA": boxes[place], "patchB": boxes[other], "shrinkA": 0, "shrinkB": 1}
            arrow = dict(ends, arrowstyle="-|>", color=LINE)
            axes.annotate("", at[other], at[place], arrowprops=arrow, zorder=0)
    axes.set_xlim(-WIDTH / 2, (widest - 0.5) * WIDTH)
    axes.set_ylim(-HEIGHT / 2, (len(rows) - 0.5) * HEIGHT)
    axes.axis("off")
    figure.canvas.draw()  # the arrows end at the boxes, which have a size once drawn


draw(imported())
