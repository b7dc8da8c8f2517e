"""What each training fix did by itself, measured: shown beside the document's own rating.

The numbers are in ``ablation.json`` beside this module, written by
``benchmarks/accuracy/ablation.py``: the collapsing baseline on ESC-10 with one fix switched on,
folds apart, equal budgets.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

SCHEMA = "capfix.ablation/1"


@dataclass(frozen=True)
class MeasuredImpact:
    """By how much listening changed.

    Attributes:
        setting: the fix, and its form where there are several.
        change: bits, on clips never trained on.
        low: lower end of the 95 % interval over clips.
        high: its upper end.
        effect: ``helps``, ``harms`` or ``nothing``.
    """

    setting: str
    change: float
    low: float
    high: float
    effect: str

    @property
    def words(self) -> str:
        """The change with its interval."""
        return f"{self.change:+.2f} bits ({self.low:+.2f} to {self.high:+.2f})"


@cache
def _rows() -> tuple[MeasuredImpact, ...]:
    text = files("capfix_cli.fixes").joinpath("ablation.json").read_text("utf-8")
    return tuple(MeasuredImpact(**row) for row in json.loads(text)["settings"])


def measured_impact(fix_id: str) -> tuple[MeasuredImpact, ...]:
    """Give what a fix did alone, a row a form of it; none where it was not measured."""
    return tuple(row for row in _rows() if row.setting.startswith(f"{fix_id} "))


def best_measured(fix_id: str) -> str:
    """Say what a fix did alone, in its best form; empty where it was not measured."""
    rows = measured_impact(fix_id)
    return max(rows, key=lambda row: row.change).words if rows else ""
