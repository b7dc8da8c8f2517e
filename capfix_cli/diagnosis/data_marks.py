"""Where the fixes of category 4 stand, by what was found in the training captions."""

from __future__ import annotations

from capfix_cli.diagnosis.causes import discover
from capfix_cli.diagnosis.training_data.data_findings import DataFinding, TrainingData
from capfix_cli.fixes.catalogue import FIXES
from capfix_cli.fixes.setting_status import Mark
from capfix_cli.schemas.diagnosis_record import Status
from capfix_cli.schemas.measured_values import Evidence

# Fixes of the training captions, each judged by the fault that it cures.
JUDGED_BY = {spec.id: cause for spec in FIXES for cause in spec.cures if cause.startswith("data.")}
SURE_ENOUGH = 0.6  # ours: below it a fault is told, but nothing waits for it


def training_data_marks(data: TrainingData) -> dict[str, Mark]:
    """Mark fixes 4.1 to 4.3: a fault found needs its fix, one ruled out has no use for it."""
    findings = {finding.id: finding for finding in data.findings}
    marks = {}
    for fix, id_ in JUDGED_BY.items():
        finding = findings.get(id_)
        if finding is None or finding.answer == "not-tested":
            needs = f"not tested: it needs {finding.needs}" if finding else "not tested"
            marks[fix] = Mark("unknown", needs)
        elif id_ == "data.single-caption":
            marks[fix] = _several(finding, data)
        else:
            suspect = finding.answer == "suspect"
            status: Status = "needed" if suspect else "not-applicable"
            marks[fix] = Mark(status, finding.summary or _figure(finding), finding.evidence)
    return marks


def broken_data(data: TrainingData) -> str:
    """Say what of the training data must be mended before any fix; empty where nothing is."""
    specs = discover()
    for cause in data.causes:
        first = specs[cause.id].data_first
        if first and cause.confidence >= SURE_ENOUGH:
            finding = next(finding for finding in data.findings if finding.id == cause.id)
            listed = f"; {finding.listed} rows are listed" if finding.listed else ""
            return f"{first}: {finding.summary}{listed}"
    return ""


def _several(finding: DataFinding, data: TrainingData) -> Mark:
    mean = data.captions / max(1, data.clips)
    single = finding.evidence[1]
    if isinstance(single.value, float) and single.value > float(single.threshold or 0):
        reason = f"the training file has {mean:.3g} captions a clip: there are no others to use"
        return Mark("not-applicable", reason, finding.evidence)
    if finding.answer == "suspect":
        reason = f"the training file has {mean:.3g} captions a clip and training used one"
        return Mark("needed", reason, finding.evidence)
    used = [row for row in finding.evidence if row.name == "captions a clip in training"]
    if used:
        reason = f"trained on {used[0].value} of {mean:.3g} captions a clip"
        return Mark("done", reason, finding.evidence)
    reason = f"the training file has {mean:.3g} captions a clip; how many were used is not known"
    return Mark("unknown", reason, finding.evidence)


def _figure(finding: DataFinding) -> str:
    """Give every figure that was held against a limit."""
    held = [row for row in finding.evidence if row.threshold is not None]
    return "; ".join(_said(row) for row in held)


def _said(row: Evidence) -> str:
    value = f"{row.value:.3g}" if isinstance(row.value, float) else row.value
    return f"{row.name}: {value}{row.after} (limit {row.threshold})"
