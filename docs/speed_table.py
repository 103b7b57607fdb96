"""The directive ``speed-table``: the benchmark's JSON as a table."""

import json
import pathlib

from sphinx.util.docutils import SphinxDirective

FILE = pathlib.Path(__file__).parent / "speed.json"


def microseconds(measured, figure):
    if measured is None or measured[figure] is None:
        return ""
    value = measured[figure] * 1e6
    return "{:,.0f}".format(value) if value >= 100 else "{:.1f}".format(value)


def cells(row):
    """Return the cells for a row of the benchmark."""
    figure, beside = row["figure"], row["beside"]
    name = beside["peer"] if beside["peer"] != "pyxs" else beside["job"]
    return [
        row["work"],
        microseconds(row["peers"]["pyxs"], figure),
        "{} ({})".format(microseconds(beside, figure), name),
        "**{:.2f}**".format(row["ratio"]),
        microseconds(row["peers"].get("pyxs 0.4.1"), figure),
    ]


class SpeedTable(SphinxDirective):
    def run(self):
        self.env.note_dependency(str(FILE))
        table = [["Work", "pyxs", "Beside", "Ratio", "pyxs 0.4.1"]]
        table += map(cells, json.loads(FILE.read_text())["rows"])
        lines = [".. list-table::", "    :header-rows: 1", "    :widths: 36 12 26 10 16", ""]
        for row in table:
            lines += ["    {} - {}".format(" " if n else "*", cell) for n, cell in enumerate(row)]
        return self.parse_text_to_nodes("\n".join(lines))


def setup(app):
    app.add_directive("speed-table", SpeedTable)
    return {"parallel_read_safe": True}
