"""``input.duplicate-audio``: audio repeats so much that no captioner could differ on it."""

from __future__ import annotations

from collections import Counter

import numpy as np

from capfix_cli.core.thresholds import JUDGED_AT
from capfix_cli.diagnosis.causes.cause_spec import FRONT_END, MODEL, CauseDocs, CauseSpec
from capfix_cli.diagnosis.causes.finding import Finding, not_tested
from capfix_cli.diagnosis.judged_captions import JudgedCaptions
from capfix_cli.measures.measure_table import cuts, expected_distinct
from capfix_cli.schemas.measured_values import Evidence

ID = "input.duplicate-audio"


def find(case: JudgedCaptions) -> Finding:
    """Count clips that are copies of others, sample by sample."""
    digests = case.clips.digests
    if len(digests) < 2:
        return not_tested(ID, "two clips or more")
    size = min(len(digests), int(JUDGED_AT.value))
    counts = np.array(list(Counter(digests).values()))
    distinct = expected_distinct(counts, size)
    cut, _ = cuts(size)
    copies = len(digests) - len(counts)
    evidence = Evidence(
        f"distinct {'arrays' if case.clips.audio.features else 'waveforms'} among {size}",
        distinct,
        "share",
        cut,
        "below it even captions that follow the audio would count as repeated",
    )
    return Finding(
        ID,
        1.0 if distinct < cut else 0.0,
        (evidence,),
        mend=f"Use different clips: {copies} of {len(digests)} are copies of others, "
        + ("number by number" if case.clips.audio.features else "sample by sample"),
        proved=True,
    )


CAUSE = CauseSpec(
    id=ID,
    order=30,
    gate=True,
    find=find,
    from_text=find,
    explains=(*MODEL, *FRONT_END, "vocabulary.*"),
    mend="Use different clips",
    final=True,
    docs=CauseDocs(
        symptom="no captioner could differ on these clips.",
        experiment="share of different waveforms among 100, sample by sample.",
        read=(
            "where even captions that follow the audio would count as repeated. Nothing else is "
            "then asked of the captioner."
        ),
        mend="use other files.",
        sources="the corridors of published captions.",
    ),
)
