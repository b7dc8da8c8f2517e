"""The plan and the catalogue on the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.syntax import Syntax
from rich.text import Text

from capfix_cli.fixes.ablation import measured_impact
from capfix_cli.fixes.catalogue import CATEGORY_TITLES, FIXES, PRIORITY_TITLES, FixSpec
from capfix_cli.report.terminal.style import STATUS_STYLES, columns, heading
from capfix_cli.schemas.diagnosis_record import PlanRow


def print_plan(console: Console, plan: Sequence[PlanRow], *, brief: bool = False) -> None:
    """Print a plan by priority.

    Args:
        console: where to.
        plan: its rows, in order.
        brief: leave out what nobody needs to do now, and say how much that is.
    """
    hidden = 0
    for priority in sorted({row.priority for row in plan}):
        rows = [row for row in plan if row.priority == priority]
        shown = [row for row in rows if not brief or row.status in {"needed", "done"}]
        hidden += len(rows) - len(shown)
        if not shown:
            continue
        title = PRIORITY_TITLES.get(priority, "Before anything else")
        console.print(heading(f"Priority {priority} - {title}" if priority else title))
        table = columns("fix", "", "status", "effort", "why")
        for row in shown:
            style = STATUS_STYLES[row.status]
            name = row.fix if priority else ""
            table.add_row(name, row.title, Text(row.status, style=style), row.effort, _why(row))
        console.print(table)
    if hidden:
        console.print(
            f"\n{hidden} more fixes are not needed now: `capfix recommend` shows all.", style="dim"
        )


def _why(row: PlanRow) -> Text:
    """Give the reason, and under it what the fix was measured to do beside what it was said to."""
    text = Text(row.reason)
    if row.measured and row.status in {"needed", "unknown"}:
        rated = f"; the document: {row.impact}" if row.impact else ""
        text.append(f"\nmeasured alone: {row.measured}{rated}", style="dim")
    return text


def print_catalogue(console: Console) -> None:
    """Print every fix in one line, by category."""
    for category, title in CATEGORY_TITLES.items():
        console.print(heading(f"{category} {title}"))
        table = columns("fix", "", "impact", "measured alone", "retrain", "priority", "effort")
        for entry in FIXES:
            if entry.category == category:
                table.add_row(
                    entry.id,
                    entry.title,
                    entry.impact,
                    _alone(entry.id),
                    "yes" if entry.retrain else "no",
                    str(entry.priority),
                    entry.effort,
                )
        console.print(table)
    console.print("\n`capfix fixes 1.3` shows one in full, by number or by name.", style="dim")


def _alone(fix_id: str) -> str:
    """Give the best change of listening that a fix made by itself."""
    rows = measured_impact(fix_id)
    return f"{max(row.change for row in rows):+.2f} bits" if rows else ""


def print_fix(console: Console, entry: FixSpec) -> None:
    """Print one fix in full."""
    console.print(Text(f"{entry.id} {entry.title}", style="bold"))
    console.print(f"{entry.what}\n")
    facts = columns("", "", ratio_last=True)
    facts.show_header = False
    for name, value in (
        ("when", entry.when),
        ("impact", entry.impact),
        ("measured", "; ".join(f"{row.setting}: {row.words}" for row in measured_impact(entry.id))),
        ("effort", entry.effort),
        ("retrain", "yes" if entry.retrain else "no"),
        ("priority", f"{entry.priority}, {PRIORITY_TITLES[entry.priority]}"),
        ("for", "; ".join(entry.pros)),
        ("against", "; ".join(entry.cons)),
        ("beware", entry.caution),
        ("source", entry.source),
    ):
        if value:
            facts.add_row(Text(name, style="dim"), Text(value))
    console.print(facts)
    for setting in entry.settings:
        console.print(
            heading(f"{setting.name} = {setting.value}  (recommended: {setting.recommended})")
        )
        table = columns("value", "effect")
        for span, effect in setting.ranges:
            table.add_row(Text(span), Text(effect))
        console.print(table)
    console.print(heading("In code"))
    if console.is_terminal:
        console.print(
            Syntax(entry.snippet.rstrip(), "python", theme="ansi_dark", background_color="default")
        )
    else:
        console.print(Text(entry.snippet.rstrip()), soft_wrap=True)
