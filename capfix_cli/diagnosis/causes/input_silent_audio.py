"""``input.silent-audio``: most files hold no sound."""

from __future__ import annotations

from capfix_cli.core.thresholds import SILENT_SHARE
from capfix_cli.diagnosis.causes.cause_spec import FRONT_END, MODEL, CauseDocs, CauseSpec
from capfix_cli.diagnosis.causes.finding import Finding
from capfix_cli.diagnosis.judged_captions import JudgedCaptions
from capfix_cli.schemas.measured_values import Evidence

ID = "input.silent-audio"


def find(case: JudgedCaptions) -> Finding:
    """Count the files that are silent."""
    silent = sum(clip.kind == "silent" for clip in case.clips.audio.skipped)
    whole = len(case.clips.digests) + silent
    share = silent / max(1, whole)
    kind = "constant arrays" if case.clips.audio.features else "silent files"
    evidence = Evidence(kind, share, SILENT_SHARE.unit, SILENT_SHARE.value, SILENT_SHARE.source)
    return Finding(
        ID,
        1.0 if share >= SILENT_SHARE.value else 0.0,
        (evidence,),
        mend=f"Replace the {kind}: {silent} of {whole} hold "
        + ("one number over and over" if case.clips.audio.features else "no sound"),
        proved=True,
    )


CAUSE = CauseSpec(
    id=ID,
    order=20,
    gate=True,
    find=find,
    from_text=find,
    explains=(*MODEL, *FRONT_END, "vocabulary.*"),
    mend="Replace the silent files",
    final=True,
    docs=CauseDocs(
        symptom="no captioner could differ on these clips.",
        experiment="share of files under one step of 16-bit audio.",
        read="from half the files silent. Nothing else is then asked of the captioner.",
        mend="use other files.",
        sources="`SILENT_SHARE`.",
    ),
)
