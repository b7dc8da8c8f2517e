"""``input.silent-audio``: most files hold no sound."""

from __future__ import annotations

from capfix_cli.core.thresholds import SILENT_SHARE
from capfix_cli.diagnosis.causes.finding import DiagnosisContext, Finding
from capfix_cli.schemas.records import Evidence

ID = "input.silent-audio"


def find(case: DiagnosisContext) -> Finding:
    """Count the files that are silent."""
    silent = sum(clip.kind == "silent" for clip in case.skipped)
    whole = len(case.digests) + silent
    share = silent / max(1, whole)
    evidence = Evidence("share of silent files", share, SILENT_SHARE.value, SILENT_SHARE.source)
    return Finding(
        ID,
        1.0 if share >= SILENT_SHARE.value else 0.0,
        (evidence,),
        mend=f"Replace the silent files: {silent} of {whole} hold no sound",
    )
