"""``data.single-caption``: training used one caption of each clip where there are several."""

from __future__ import annotations

from capfix_cli.diagnosis.causes.cause_spec import DECODER, CauseDocs, CauseSpec
from capfix_cli.diagnosis.causes.training_data_finding import CAPTIONS, find_in_data

ID = "data.single-caption"

find = find_in_data(ID, CAPTIONS)

CAUSE = CauseSpec(
    id=ID,
    order=120,
    find=find,
    from_text=find,
    explains=(*DECODER,),
    mend="Train on all captions of a clip (fix 4.3)",
    accounts_for=("differ", "decides"),
    docs=CauseDocs(
        symptom="a model that trained well and learnt not to listen.",
        experiment="of the training file: [training-data.md](training-data.md).",
        read=(
            "they explain what follows from them (conditioning, encoder, decoder) and stand before "
            "it."
        ),
        mend="fix 4.3.",
    ),
)
