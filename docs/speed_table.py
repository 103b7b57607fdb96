"""The directive ``speed-table``: the benchmark's JSON as a table."""

import json
import pathlib

from sphinx.util.docutils import SphinxDirective

RUNS = sorted((pathlib.Path(__file__).parent / "speed").glob("*.json"))


def measured():
    """Return the benchmark's rows; of each, the one of the run whose ratio is the median."""
    runs = [json.loads(run.read_text())["rows"] for run in RUNS]
    return [sorted(rows, key=lambda row: row["ratio"])[len(rows) // 2] for rows in zip(*runs)]


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
        "**{:.2f}**".format(row["ratio"]),
        microseconds(row["peers"]["pyxs"], figure),
        "{} ({})".format(microseconds(beside, figure), name),
        microseconds(row["peers"].get("pyxs 0.4.1"), figure),
    ]


class SpeedTable(SphinxDirective):
    def run(self):
        for run in RUNS:
            self.env.note_dependency(str(run))
        table = [["Work", "Ratio", "pyxs", "Beside", "pyxs 0.4.1"]]
        table += map(cells, measured())
        lines = [".. list-table::", "    :header-rows: 1", "    :widths: 36 10 12 26 16", ""]
        for row in table:
            lines += ["    {} - {}".format(" " if n else "*", cell) for n, cell in enumerate(row)]
        return self.parse_text_to_nodes("\n".join(lines))


def setup(app):
    app.add_directive("speed-table", SpeedTable)
    return {"parallel_read_safe": True}
