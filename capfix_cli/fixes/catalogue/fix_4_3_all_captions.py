"""Fix 4.3: use all five captions."""

from __future__ import annotations

import math

from capfix_cli.fixes.fix_spec import AblatedForm, FixSetting, FixSpec, Switch
from capfix_cli.fixes.setting_rule import SettingRule, words

FIX = FixSpec(
    id="4.3",
    title="Use all five captions",
    aliases=("all captions", "all 5 captions", "five captions", "use all 5 captions"),
    what=(
        "Trains on every reference caption of a clip, where taking the first alone hides that one "
        "sound can be told in many ways."
    ),
    when="Whenever clips have several captions (Clotho: five) and only one is read.",
    settings=(
        FixSetting(
            name="captions_per_clip",
            value="5",
            recommended="5",
            ranges=(("1", "the other captions are wasted"), ("5", "all of them")),
        ),
    ),
    pros=("Five times the captions for nothing", "Wording varies while the audio stays"),
    cons=("Needs retraining", "Longer epochs"),
    impact="medium-high",
    effort="1 line",  # the document finds it done in the code that it was written for
    retrain=True,
    priority=2,
    order=40,
    snippet="""\
def caption_pairs(rows: list[dict[str, str]]) -> list[tuple[str, str]]:
    # Rows of a captions file (file_name, caption_1 ... caption_5) -> (file_name, caption) pairs.
    return [
        (row["file_name"], text)
        for row in rows
        for name, text in row.items()
        if name.startswith("caption_") and name != "caption_predicted" and text
    ]
""",
    caution=(
        "Split into training and validation by clip, never by caption, or validation hears "
        "training clips. Files can be listed twice in real data: deduplicate."
    ),
    source="the document, 4.3; Clotho (arXiv 1910.09387)",
    cures=("data.single-caption",),
    setting=SettingRule(
        names=words(
            "captions_per_clip captions_per_audio num_captions n_captions num_captions_per_audio "
            "use_all_captions all_captions captions_per_sample"
        ),
        low=2,
        high=math.inf,
        wanted="more than 1 caption a clip (the document, 4.3)",
    ),
    switch=Switch(
        lambda setup: setup.change("data", captions_per_clip=0),
        lambda setup: setup.data.captions_per_clip != 1,
        "data.captions_per_clip",
        told="`data.captions_per_clip`: 0 is all",
        start="0",
    ),
    ablated=(AblatedForm("all captions"),),
)
