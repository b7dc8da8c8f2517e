"""``data.generic-captions``: the training captions are bland."""

from __future__ import annotations

from capfix_cli.diagnosis.causes.cause_spec import DECODER, CauseDocs, CauseSpec
from capfix_cli.diagnosis.causes.training_data_finding import CAPTIONS, find_in_data

ID = "data.generic-captions"

find = find_in_data(ID, CAPTIONS)

CAUSE = CauseSpec(
    id=ID,
    order=110,
    find=find,
    from_text=find,
    explains=("conditioning.*", "encoder.*", *DECODER, "vocabulary.*"),
    mend="Filter bland captions, or ask for specific ones (fix 4.2)",
    accounts_for=("differ", "decides"),
    docs=CauseDocs(
        symptom="a model that trained well and learnt not to listen.",
        experiment="of the training file: [training-data.md](training-data.md).",
        read=(
            "they explain what follows from them (conditioning, encoder, decoder) and stand before "
            "it."
        ),
        mend="fix 4.2.",
    ),
)
