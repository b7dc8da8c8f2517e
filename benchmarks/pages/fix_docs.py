"""Write the tables of fixes into the docs, from the catalogue's records.

python -m benchmarks.pages.fix_docs
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from capfix_cli.fixes.ablation import measured_impact
from capfix_cli.fixes.catalogue import FIXES
from capfix_cli.fixes.fix_spec import FixSpec

DOCS = Path(__file__).parents[2] / "docs"
MARKER = "<!-- {name}: written by python -m benchmarks.pages.fix_docs -->"


def catalogue_table() -> str:
    """Every fix with what is said and what was measured of it."""
    rows = []
    for spec in FIXES:
        measured = "; ".join(row.words for row in measured_impact(spec.id))
        cures = ", ".join(f"`{cause}`" for cause in spec.cures)
        rows.append((spec.id, spec.title, spec.impact, measured, spec.effort, cures))
    head = ("fix", "", "the document's impact", "measured alone", "effort", "cures")
    return _table(head, rows)


def switches_table() -> str:
    """How a recipe carries each fix out."""
    rows = [
        (f"{spec.id} {_short(spec)}", spec.switch.told, spec.switch.start)
        for spec in FIXES
        if spec.switch is not None
    ]
    return _table(("fix", "field", "from"), rows)


def rewrites_table() -> str:
    """The code for other people's networks."""
    rows = [
        (f"{spec.id} {_short(spec)}", spec.rewrite.code, spec.rewrite.trace)
        for spec in FIXES
        if spec.rewrite is not None
    ]
    return _table(("fix", "the code", "seen in the next checkpoint"), rows)


def trials_table() -> str:
    """The decodings that the tree tries."""
    rows = [
        (spec.id, f"`{trial.name}`", ", ".join(trial.asked))
        for spec in FIXES
        for trial in spec.trials
    ]
    return _table(("fix", "trial", "asked by"), rows)


TABLES: dict[str, dict[str, Callable[[], str]]] = {
    "fixes.md": {"catalogue": catalogue_table, "trials": trials_table},
    "retraining.md": {"switches": switches_table},
    "rewrites.md": {"rewrites": rewrites_table},
}


def with_tables(text: str, tables: dict[str, Callable[[], str]]) -> str:
    """Put the tables of now into a page."""
    for name, make in tables.items():
        start, end = MARKER.format(name=name), f"<!-- /{name} -->"
        head, found, rest = text.partition(start)
        if not found or end not in rest:
            raise ValueError(f"no place for the table {name}")
        text = f"{head}{start}\n\n{make()}\n\n{end}{rest.partition(end)[2]}"
    return text


def _short(spec: FixSpec) -> str:
    title = spec.title.partition(" (")[0]
    return title if title.startswith("Transformer") else title[0].lower() + title[1:]


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    columns = list(head)
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |".replace("|  |", "| |") for line in lines)


if __name__ == "__main__":
    for page, tables in TABLES.items():
        path = DOCS / page
        path.write_text(with_tables(path.read_text(encoding="utf-8"), tables), encoding="utf-8")
