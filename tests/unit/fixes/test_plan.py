"""The plan: the document's order, and a status with a reason for every fix."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from capfix_cli.fixes.ablation import measured_impact
from capfix_cli.fixes.catalogue import FIXES
from capfix_cli.fixes.plan import PlanInputs, general_plan, make_plan
from capfix_cli.report.terminal.plan_view import print_plan
from capfix_cli.schemas.diagnosis_record import Trial
from capfix_cli.schemas.measured_values import Listening


def status(findings):
    return {row.fix: row.status for row in make_plan(findings)}


def trial(fix="1.1", kept=False):
    return Trial(fix, "temperature 1", {}, {}, None, "healthy", kept, "because")


def test_the_general_plan_has_every_fix_in_order_of_priority():
    plan = general_plan()
    assert {row.fix for row in plan} == {entry.id for entry in FIXES}
    assert [row.priority for row in plan] == sorted(row.priority for row in plan)
    assert [row.fix for row in plan[:2]] == ["1.1", "1.3"]
    assert all(row.status == "unknown" and row.reason for row in plan)


@pytest.mark.parametrize(
    ("fact", "value", "fix"),
    [
        ("dropout", 0.3, "5.1"),
        ("training.weight_decay", 1e-4, "5.2"),
        ("training.gradient_clip", 5.0, "5.3"),
        ("training.captions_per_clip", 5, "4.3"),
        ("training.label_smoothing", 0.1, "3.1"),
        ("encoder.pooling", "frequency", "2.1"),
        ("conditioning", "every-step", "2.2"),
        ("conditioning", "attention", "2.3"),
        ("decoder.kind", "transformer", "2.5"),
        ("encoder.pretrained", "panns", "2.6"),
    ],
)
def test_facts_of_the_checkpoint_mark_fixes_done(fact, value, fix):
    assert status(PlanInputs(verdict="collapsed", facts={fact: value}))[fix] == "done"
    assert status(PlanInputs(verdict="collapsed", facts={}))[fix] != "done"


def test_a_deaf_captioner_needs_priority_2_and_the_rest_waits():
    plan = status(PlanInputs(verdict="collapsed", facts={}, trials=[trial()]))
    assert [fix for fix, now in plan.items() if now == "needed"] == ["2.1", "2.2", "3.1"]
    assert plan["1.1"] == "not-applicable"
    assert plan["2.5"] == plan["3.2"] == "unknown"


def test_a_decoding_that_works_is_the_only_need():
    plan = status(PlanInputs(verdict="collapsed", facts={}, trials=[trial("1.1+1.3", kept=True)]))
    assert [fix for fix, now in plan.items() if now == "needed"] == ["1.1", "1.3"]
    assert plan["2.1"] == "not-applicable"


def test_of_several_decodings_that_work_the_one_that_listens_most_is_needed():
    heard = replace(trial("1.6", kept=True), name="contrast", listening=Listening(2, 4, 1, 3, 1, 1))
    plan = make_plan(
        PlanInputs(verdict="collapsed", facts={}, trials=[trial("1.1", kept=True), heard])
    )
    rows = {row.fix: row for row in plan}
    assert [fix for fix, row in rows.items() if row.status == "needed"] == ["1.6"]
    assert "contrast listens more" in rows["1.1"].reason


def test_a_healthy_captioner_needs_nothing_and_a_bland_one_attention():
    assert "needed" not in status(PlanInputs(verdict="healthy", facts={})).values()
    bland = status(PlanInputs(verdict="generic", facts={}, trials=[trial()]))
    assert [fix for fix, now in bland.items() if now == "needed"] == ["2.3"]


def test_what_is_broken_comes_first():
    plan = make_plan(
        PlanInputs(verdict="collapsed", facts={}, first_step="Replace the silent files")
    )
    assert plan[0].reason == "Replace the silent files"
    assert [row.fix for row in plan if row.status == "needed"] == [plan[0].fix]


def test_the_plan_shows_what_a_fix_did_beside_what_was_said_of_it():
    rows = {row.fix: row for row in general_plan()}
    assert len(rows) == len(FIXES)
    measured = [fix for fix in rows if measured_impact(fix)]
    assert len(measured) >= 8
    for fix in measured:
        best = max(measured_impact(fix), key=lambda one: one.change)
        assert rows[fix].measured == best.words
        assert rows[fix].impact
    assert rows["1.1"].measured == ""
    console = Console(width=200, record=True, file=io.StringIO())
    print_plan(console, general_plan())
    text = console.export_text()
    assert f"measured alone: {rows['2.2'].measured}; the document: {rows['2.2'].impact}" in text
