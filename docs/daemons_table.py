"""The directive ``daemons-table``: what the tests know of the daemons' differences, as a table."""

import pathlib
import runpy

from sphinx.util.docutils import SphinxDirective

TESTED = pathlib.Path(__file__).parent.parent / "tests" / "conformance" / "differences.py"

HEADINGS = "Case", "C {}.{}", "OCaml", "In memory", "Why"


def text(answer):
    """Return what stands in the table for an answer of ``differences.py``."""
    if answer is None:
        return "OK"
    if isinstance(answer, tuple):
        return "{:,}, then: {}".format(*answer)
    if isinstance(answer, set):
        answer = sorted(answer)
    if isinstance(answer, list):
        return ", ".join(map("``{}``".format, answer)) or "none"
    return answer


def rows():
    """Return the table, its head first."""
    tested = runpy.run_path(str(TESTED))
    versions = tested["VERSIONS"]
    case, c, *others = HEADINGS
    table = [[case] + [c.format(*version) for version in versions] + others]
    for name, row in tested["DIFFERENCES"].items():
        answers = [row.answer("c", version) for version in versions]
        answers += [row.answer("ocaml", versions[-1]), row.answer("memory")]
        table.append([name] + list(map(text, answers)) + [row.why])
    return table


class DaemonsTable(SphinxDirective):
    def run(self):
        self.env.note_dependency(str(TESTED))
        lines = [".. list-table::", "    :header-rows: 1", "    :widths: 18 8 8 8 8 11 9 30", ""]
        for row in rows():
            lines += ["    {} - {}".format(" " if n else "*", cell) for n, cell in enumerate(row)]
        return self.parse_text_to_nodes("\n".join(lines))


def setup(app):
    app.add_directive("daemons-table", DaemonsTable)
    return {"parallel_read_safe": True}
