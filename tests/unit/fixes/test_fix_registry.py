"""One file a fix: a made-up one stands in the plan, the recipe, the docs and the ablation."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.pages.fix_docs import DOCS, TABLES, with_tables
from capfix_cli.diagnosis.causes import discover
from capfix_cli.fixes.catalogue import FIXES

ROOT = Path(__file__).parents[3]
MADE_UP = '''
"""Fix 6.1: made up for a test."""

import math

from capfix_cli.decoding.decoding_options import DecodingOptions
from capfix_cli.fixes.fix_spec import (
    CATEGORY_TITLES, AblatedForm, DecodingFix, FixSetting, FixSpec, NetworkRewrite, Switch
)
from capfix_cli.fixes.rewrites.inspection_values import Done
from capfix_cli.fixes.setting_rule import SettingRule, words

CATEGORY_TITLES[6] = "Made up"
FIX = FixSpec(
    id="6.1",
    title="Made-up fix",
    aliases=("made up",),
    what="Nothing.",
    when="Never.",
    settings=(FixSetting("nothing", "1", "1", (("1", "nothing"),)),),
    pros=("none",),
    cons=("none",),
    impact="low",
    effort="none",
    retrain=True,
    priority=2,
    order=35,
    snippet="",
    source="ours, a test",
    cures=("encoder.collapsed",),
    built_in=lambda facts: "it has nothing" if facts.get("nothing") else "",
    setting=SettingRule(names=words("nothing_weight"), low=0.5, high=math.inf, wanted="any"),
    switch=Switch(
        lambda setup: setup.change("training", epochs=7),
        lambda setup: setup.training.epochs == 7,
        "training.epochs",
        told="`training.epochs`",
    ),
    trials=(
        DecodingFix(
            fix="6.1",
            name="made-up",
            options=DecodingOptions(do_sample=True, temperature=0.77),
            asked=("other-decoding",),
        ),
    ),
    rewrite=NetworkRewrite(
        write=lambda found: None,
        was_done=lambda before, after: Done(None, ("made up",)),
        code="nothing",
        trace="none",
    ),
    ablated=(AblatedForm("made-up fix"),),
)
'''
ASKED = """
import json, sys
from benchmarks.accuracy.ablation import ALONE
from benchmarks.pages.fix_docs import TABLES
from capfix_cli.captioners.own.own_config import BASELINE
from capfix_cli.diagnosis.decision_tree import TRIALS_OF
from capfix_cli.fixes.plan import PlanInputs, make_plan
from capfix_cli.fixes.rewrites.rewrite import WRITERS
from capfix_cli.fixes.setting_status import training_settings
from capfix_cli.schemas.diagnosis_record import Cause
from capfix_cli.training.recipe import make_recipe

cause = Cause("encoder.collapsed", "encoder", 0.9, ())
needed = make_plan(PlanInputs(verdict="collapsed", facts={}, causes=(cause,)))
done = make_plan(PlanInputs(verdict="collapsed", facts={"nothing": 1}))
row = lambda plan: next(row for row in plan if row.fix == "6.1")
recipe = make_recipe(needed, {}, BASELINE)
print(json.dumps({
    "needed": [row(needed).status, row(needed).reason, [r.fix for r in needed].index("6.1")],
    "done": [row(done).status, row(done).reason],
    "setting": training_settings({}, config={"nothing_weight": 0.1})["6.1"].status,
    "trial": "made-up" in TRIALS_OF["other-decoding"],
    "writer": "6.1" in WRITERS,
    "ablation": ALONE["6.1 made-up fix"](ALONE["baseline"](recipe.setup)).training.epochs,
    "recipe": ["6.1" in recipe.fixes, recipe.setup.training.epochs],
    "docs": [name for page in TABLES.values() for name, make in page.items() if "6.1" in make()],
}))
"""


@pytest.mark.slow
def test_a_fix_is_one_file(tmp_path):
    for name in ("capfix_cli", "benchmarks"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    place = tmp_path / "capfix_cli" / "fixes" / "catalogue" / "fix_6_1_made_up.py"
    place.write_text(MADE_UP)
    there = {**os.environ, "PYTHONPATH": str(tmp_path)}

    def ask(*command: str) -> str:
        done = subprocess.run(
            [sys.executable, *command],
            capture_output=True,
            text=True,
            check=False,
            env=there,
            cwd=tmp_path,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout

    found = json.loads(ask("-c", ASKED))
    assert found == {
        "needed": ["needed", "encoder.collapsed", 11],
        "done": ["done", "it has nothing"],
        "setting": "needed",
        "trial": True,
        "writer": True,
        "ablation": 7,
        "recipe": [True, 7],
        "docs": ["catalogue", "trials", "switches", "rewrites"],
    }
    assert "Made-up fix" in ask("-m", "capfix_cli", "fixes")
    assert json.loads(ask("-m", "capfix_cli", "fixes", "made up", "--json"))["id"] == "6.1"


@pytest.mark.parametrize("page", TABLES)
def test_the_tables_in_the_docs_are_those_of_the_fixes(page):
    text = (DOCS / page).read_text(encoding="utf-8")
    assert with_tables(text, TABLES[page]) == text, (
        "python -m benchmarks.pages.fix_docs writes them"
    )


def test_every_cure_is_of_a_cause_that_can_be_found():
    causes = discover()
    cures = [(spec.id, cause) for spec in FIXES for cause in spec.cures]
    assert len(cures) >= 11
    assert [pair for pair in cures if pair[1] not in causes] == []


def test_every_training_fix_can_be_switched_on_and_its_docs_say_how():
    trained = [spec for spec in FIXES if spec.retrain]
    assert len(trained) == 18
    for spec in trained:
        assert spec.switch is not None, spec.id
        assert spec.switch.told, spec.id
    assert all(spec.trials and spec.switch is None for spec in FIXES if not spec.retrain)
