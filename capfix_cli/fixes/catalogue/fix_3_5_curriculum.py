"""Fix 3.5: curriculum learning."""

from __future__ import annotations

import math

from capfix_cli.fixes.fix_spec import AblatedForm, FixSetting, FixSpec, training_switch
from capfix_cli.fixes.setting_rule import SettingRule, words

FIX = FixSpec(
    id="3.5",
    title="Curriculum learning",
    aliases=("curriculum",),
    what="Trains on short, easy captions first and adds longer ones as the epochs go by.",
    when="With very large models or data sets, where training is slow to take hold.",
    settings=(
        # The epochs are the document's; the limits in words are ours, for Clotho's 8 to 20.
        FixSetting(
            name="curriculum",
            value="10, 14 words, then all",
            recommended="short, then medium, then all captions",
            ranges=(
                ("epochs 1-10", "short captions only"),
                ("epochs 11-20", "medium ones too"),
                ("epochs 21+", "all captions"),
            ),
        ),
    ),
    pros=("Steadier start", "No change to the model"),
    cons=("Needs retraining", "More epochs until all data were seen"),
    impact="low-medium",
    effort="medium",
    retrain=True,
    priority=3,
    order=70,
    snippet="""\
def captions_for(epoch: int, captions: list[str], short: int = 10, medium: int = 14) -> list[str]:
    # The captions to train on in this epoch, counted from 1; short and medium are in words.
    if epoch > 20:
        return captions
    longest = short if epoch <= 10 else medium
    return [caption for caption in captions if len(caption.split()) <= longest]
""",
    caution=(
        "Short captions tend to be the generic ones; check that the first stage does not teach "
        "the very favourite caption that you want to be rid of."
    ),
    source="the document, 3.5; Bengio et al. 2009 (ICML)",
    setting=SettingRule(
        names=words("curriculum curriculum_learning use_curriculum curriculum_type"),
        low=0.0,
        high=math.inf,
        wanted="any (the document, 3.5)",
        switch=True,
        words_count=True,
    ),
    switch=training_switch(
        "curriculum",
        "thirds",
        off="none",
        told="`training.curriculum: thirds` or `competence`",
    ),
    ablated=(
        AblatedForm("curriculum, thirds"),
        AblatedForm(
            "curriculum, competence", {"training": {"curriculum": "competence"}}, alone=True
        ),
    ),
)
