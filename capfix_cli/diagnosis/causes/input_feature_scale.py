"""``input.feature-scale``: features on another scale than those of training."""

from __future__ import annotations

from capfix_cli.diagnosis.causes.cause_spec import MODEL, CauseDocs, CauseSpec
from capfix_cli.diagnosis.causes.finding import Finding
from capfix_cli.diagnosis.causes.front_end_finding import best_front_end, find_front_end
from capfix_cli.diagnosis.diagnosis_context import DiagnosisContext

ID = "input.feature-scale"


def find(case: DiagnosisContext) -> Finding:
    """Hold features to the network's own statistics, and search the usual front ends."""
    return find_front_end(case, ID)


CAUSE = CauseSpec(
    id=ID,
    order=90,
    gate=True,
    find=find,
    needs=("fit", "recovery", "weights"),
    explains=(*MODEL, "vocabulary.*"),
    mend="Compute the features as training did",
    repair=best_front_end,
    docs=CauseDocs(
        symptom=(
            "collapse, or right kinds of words on the wrong clips, in a model whose training "
            "curves were fine."
        ),
        experiment=(
            "features of real clips against the first BatchNorm's running statistics: mean |ln "
            "variance ratio| plus mean shift in deviations. From 1 on, or where the captioner "
            "listens to the wrong things, or is deaf and has no statistics, the usual front ends "
            "are searched: ln, log10, dB, magnitude or power, no logarithm, samples up to 32768, "
            "standardised, Whisper's own normalisation. They are ranked by fit; the best three are "
            "listened to. A network that was never trained is not searched: no front end was its "
            "own."
        ),
        read=(
            ".03 to .3 is right on clips like those of training, .5 to .9 on 32 clips of ESC-10's "
            "silences and bangs; log10 for ln gives 1.7, no logarithm 13. What fits within that is "
            "believed only where it is also heard. Without BatchNorm the search is by listening "
            "alone, and says so. Statistics of fewer than 30 batches are not used. What the "
            "features are now is told by the clips: their deviation against that of a plain "
            "ln-mel, where there is sound. What training had is told by the statistics, which are "
            "of the training clips: log10 of power and ln of magnitude are 15 % apart, less than "
            "two sets of recordings may be, and the constants of a standardisation are known from "
            "nowhere else. `--train-audio DIR` fits on the training clips themselves; without it a "
            "rival that fits nearly as well is named. How often each of 30 pairs of front ends is "
            "recovered: [benchmarks.md](benchmarks.md)."
        ),
        mend="the line that is printed, such as `features = 2.30259 * features`.",
        sources="SCIENCE section 1; `benchmarks/accuracy/causes_front_ends.py`.",
    ),
)
