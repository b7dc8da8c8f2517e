"""What the terminal shows, letter by letter, of stored diagnoses and of the catalogue.

``CAPFIX_WRITE_GOLDEN=1 pytest tests/unit/report`` writes the screens anew: read the difference.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from capfix_cli.fixes.catalogue import fix
from capfix_cli.fixes.plan import general_plan
from capfix_cli.report.terminal.diagnosis_view import print_diagnosis
from capfix_cli.report.terminal.plan_view import print_catalogue, print_fix, print_plan
from capfix_cli.schemas.diagnosis_record import Diagnosis, upgrade
from capfix_cli.schemas.record_reading import read_record

GOLDEN = Path(__file__).parent / "golden"
DIAGNOSES = ("decoding-helps", "needs-retraining", "wrong-front-end")


def stored(name: str) -> Diagnosis:
    data = json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))
    return read_record(Diagnosis, upgrade(data))


SCREENS: dict[str, Callable[[Console], None]] = {
    **{
        name: lambda console, name=name: print_diagnosis(console, stored(name))
        for name in DIAGNOSES
    },
    "plan": lambda console: print_plan(console, stored("needs-retraining").plan),
    "general-plan": lambda console: print_plan(console, general_plan()),
    "catalogue": print_catalogue,
    "fix-2.2": lambda console: print_fix(console, fix("2.2")),
}


@pytest.mark.parametrize("name", SCREENS)
def test_a_screen_is_as_it_was(name):
    screen = io.StringIO()
    console = Console(file=screen, width=100, highlight=False, emoji=False, color_system=None)
    SCREENS[name](console)
    shown = "\n".join(line.rstrip() for line in screen.getvalue().splitlines()) + "\n"
    path = GOLDEN / f"{name}.txt"
    if os.environ.get("CAPFIX_WRITE_GOLDEN"):
        path.write_text(shown, encoding="utf-8")
    assert shown == path.read_text(encoding="utf-8")
