"""``data.shifted-pairs``: captions stand beside other clips than their own."""

from __future__ import annotations

from capfix_cli.diagnosis.causes.cause_spec import DECODER, CauseDocs, CauseSpec
from capfix_cli.diagnosis.causes.training_data_finding import WITH_AUDIO, find_in_data

ID = "data.shifted-pairs"

find = find_in_data(ID, WITH_AUDIO)

CAUSE = CauseSpec(
    id=ID,
    order=130,
    find=find,
    from_text=find,
    explains=("conditioning.*", "encoder.*", *DECODER),
    mend="Pair every caption with its own clip again, then retrain",
    data_first="Pair the training captions with their own clips again",
    accounts_for=("differ", "decides"),
    docs=CauseDocs(
        symptom="a model that trained well and learnt not to listen.",
        experiment="of the training file: [training-data.md](training-data.md).",
        read=(
            "they explain what follows from them (conditioning, encoder, decoder) and stand before "
            "it."
        ),
        mend="pair the file again.",
    ),
)
