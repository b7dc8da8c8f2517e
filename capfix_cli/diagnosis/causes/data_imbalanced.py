"""``data.imbalanced``: few captions make up most of what was trained on."""

from __future__ import annotations

from capfix_cli.diagnosis.causes.cause_spec import DECODER, CauseDocs, CauseSpec
from capfix_cli.diagnosis.causes.training_data_finding import CAPTIONS, find_in_data

ID = "data.imbalanced"

find = find_in_data(ID, CAPTIONS)

CAUSE = CauseSpec(
    id=ID,
    order=100,
    find=find,
    from_text=find,
    explains=("conditioning.*", "encoder.*", *DECODER),
    mend="Balance the captions, or weigh rare ones more (fixes 4.1, 3.4)",
    accounts_for=("differ", "decides"),
    docs=CauseDocs(
        symptom="a model that trained well and learnt not to listen.",
        experiment="of the training file: [training-data.md](training-data.md).",
        read=(
            "they explain what follows from them (conditioning, encoder, decoder) and stand before "
            "it."
        ),
        mend="fix 4.1, and the masks and copies of 3.4.",
    ),
)
