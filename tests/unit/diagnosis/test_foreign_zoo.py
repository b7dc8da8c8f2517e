"""The zoo of captioners in other styles: its kinds of fault are causes, and answers are counted."""

from __future__ import annotations

import pytest

from benchmarks.accuracy.foreign_summary import lines, summarise
from benchmarks.calibration.confidence import figures
from benchmarks.pages import foreign_docs
from benchmarks.result_files import read_result
from benchmarks.zoo.foreign.architectures import ARCHITECTURES
from benchmarks.zoo.foreign.faults import FAULTS
from capfix_cli.core.thresholds import (
    EXPLAINED_MOST,
    PROVED_RIGHT,
    SUSPECTED_MOST,
)
from capfix_cli.diagnosis.causes import discover


def test_every_kind_of_fault_is_a_cause():
    specs = discover()
    assert len(FAULTS) >= 30
    assert len(ARCHITECTURES) == 6
    for name, fault in FAULTS.items():
        assert fault.right, name
        assert fault.right <= set(specs), name
    told = {cause for fault in FAULTS.values() for cause in fault.right}
    # What is new in the design's table has its fault here.
    assert told >= {id_ for id_ in specs if id_.startswith(("wiring.", "weights.", "input.a"))}


def row(fault, causes, **more):
    shown = {"world": "pairs", "architecture": "cells", "seed": 0, "fault": fault, "job": fault}
    return {**shown, "verdict": "collapsed", "causes": causes, "lost_at": None, **more}


@pytest.mark.parametrize("right", [True, False])
def test_answers_are_counted(right):
    first = "wiring.state-lost" if right else "decoding.search"
    rows = [row("state-lost", [[first, 0.95, "proved"]]), row("sound", [], verdict="healthy")]
    told = "\n".join(lines(summarise(rows)))
    assert f"first {int(right)} of 1" in told
    assert "sound without a proved cause 1 of 1" in told


def test_the_page_is_of_the_stored_result():
    written = foreign_docs.PAGE.read_text(encoding="utf-8")
    assert written == foreign_docs.page(), "python -m benchmarks.pages.foreign_docs"
    assert "right first" in written


def test_confidence_is_the_share_of_right_answers_of_other_kinds():
    rows = [
        row | {"job": str(n)}
        for n, row in enumerate(
            [answered("axes", "input.axes", "proved")] * 6
            + [answered("rate", "input.axes", "proved")] * 2
            + [answered("rate", "encoder.collapsed", "suspected", 0.2)] * 3
        )
    ]
    found = figures(rows, rows)
    assert found["grounds"]["proved"]["confidence"] == pytest.approx(7 / 10)
    assert found["grounds"]["suspected"]["confidence"] == pytest.approx(1 / 5)
    # `rate` is judged by what `axes` says, and the other way round.
    means = {row["mean"]: (row["right"], row["of"]) for row in found["kinds held out"]}
    assert means[round(7 / 8, 3)] == (0, 2)
    assert means[round(1 / 4, 3)] == (6, 6)


def answered(fault, cause, status, confidence=0.94):
    return {
        "world": "pairs",
        "architecture": "cells",
        "fault": fault,
        "seed": 0,
        "code": "",
        "causes": [[cause, confidence, status]],
    }


def test_confidences_are_those_that_were_measured():
    measured = read_result("accuracy/confidence")["figures"]["grounds"]
    for ground, threshold in (
        ("proved", PROVED_RIGHT),
        ("suspected", SUSPECTED_MOST),
        ("explained", EXPLAINED_MOST),
    ):
        assert threshold.value == pytest.approx(measured[ground]["confidence"], abs=0.02)
