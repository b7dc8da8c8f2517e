"""``data.shuffled-pairs``: training captions and clips do not belong together at all."""

from __future__ import annotations

from capfix_cli.diagnosis.causes.cause_spec import DECODER, CauseDocs, CauseSpec
from capfix_cli.diagnosis.causes.training_data_finding import WITH_AUDIO, find_in_data

ID = "data.shuffled-pairs"

find = find_in_data(ID, WITH_AUDIO)

CAUSE = CauseSpec(
    id=ID,
    order=135,
    find=find,
    from_text=find,
    explains=("conditioning.*", "encoder.*", *DECODER),
    mend=(
        "Pair every training caption with its own clip again, then retrain: the network is not to"
        " blame"
    ),
    data_first="Pair the training captions with their own clips again",
    accounts_for=("differ", "decides"),
    docs=CauseDocs(
        symptom="a captioner that was trained as it should be, and is deaf.",
        experiment=(
            "do clips that sound alike have captions that read alike? The same is asked of the "
            "clips that were judged and their references: where it is so there, and in the "
            "training file not at all, the training pairs are shuffled."
        ),
        read="needs `--references`, `--train-captions` and `--train-audio`.",
        mend="sort both by the same name before they are joined.",
        sources="Hilbert-Schmidt independence criterion (Gretton et al. 2005); public threads.",
    ),
)
