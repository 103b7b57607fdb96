"""The directive ``daemons-table``: what the tests know of the daemons' differences, as a table."""

import pathlib
import runpy

from sphinx.util.docutils import SphinxDirective

TESTED = pathlib.Path(__file__).parent.parent / "tests" / "conformance" / "differences.py"

HEADINGS = "Case", "Answers", "Why"


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


def span(first, last):
    """Return the name of the C daemons of the versions from *first* to *last*."""
    names = ["{}.{}".format(*version) for version in (first, last)]
    return "C {}".format(names[0] if first == last else " to ".join(names))


def daemons(row, versions):
    """Yield the names of daemons, and their answer: of the in-memory daemon where it is another."""
    first, *later = versions
    for version, following in zip(versions, later + [None]):
        answer = row.answer("c", version)
        if following is None or row.answer("c", following) != answer:
            yield span(first, version), answer
            first = following
    yield "OCaml", row.answer("ocaml", versions[-1])
    if row.answer("memory") != row.answer("c", (4, 17)):
        yield "in memory", row.answer("memory")


def answers(row, versions):
    """Return a line for each answer, with the daemons that give it."""
    names = {}
    for daemon, answer in daemons(row, versions):
        names.setdefault(text(answer), []).append(daemon)
    return ["{}: {}".format(", ".join(each), answer) for answer, each in names.items()]


def cell(lines):
    """Return the lines of a cell as reStructuredText."""
    return "\n        ".join("| " + line for line in lines)


class DaemonsTable(SphinxDirective):
    def run(self):
        self.env.note_dependency(str(TESTED))
        tested = runpy.run_path(str(TESTED))
        table = [HEADINGS]
        for name, row in tested["DIFFERENCES"].items():
            table.append((name, cell(answers(row, tested["VERSIONS"])), row.why))
        lines = [".. list-table::", "    :header-rows: 1", "    :class: stacked"]
        lines += ["    :widths: 26 37 37", ""]
        for row in table:
            lines += ["    {} - {}".format(" " if n else "*", each) for n, each in enumerate(row)]
        return self.parse_text_to_nodes("\n".join(lines))


def setup(app):
    app.add_directive("daemons-table", DaemonsTable)
    return {"parallel_read_safe": True}
