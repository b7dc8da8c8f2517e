"""Fix 4.2: caption filtering."""

from __future__ import annotations

from capfix_cli.fixes.fix_spec import AblatedForm, FixSetting, FixSpec, Switch

FIX = FixSpec(
    id="4.2",
    title="Caption filtering",
    aliases=("filtering", "filter", "generic captions", "vague captions"),
    what="Removes captions that would be true of any clip and keeps the specific ones.",
    when="When captions differ little from clip to clip and name no source of sound.",
    settings=(
        # The document leaves the rule to the hand; ours.
        FixSetting(
            name="min_specific_words",
            value="1",
            recommended="1",
            ranges=(
                ("0", "off"),
                ("1", "a caption must name something"),
                ("3+", "loses plain but true captions"),
            ),
        ),
    ),
    pros=("Specific captions teach specific words", "Simple rules go far"),
    cons=("Needs retraining", "Some work by hand", "Fewer captions to learn from"),
    impact="medium",
    effort="low",
    retrain=True,
    priority=2,
    order=60,
    snippet="""\
VAGUE = set(
    "a an the is are was being be of in on and with there it some someone something somewhere "
    "sound sounds noise noises heard hear hearing audio can could made making make makes".split()
)


def is_specific(caption: str, at_least: int = 1) -> bool:
    # Whether so many words say something about this clip; extend VAGUE by your data's own.
    words = (word.strip(".,;:!?") for word in caption.lower().split())
    return sum(word != "" and word not in VAGUE for word in words) >= at_least
""",
    caution=(
        "Look at what goes: in public data a clip's only true caption may be vague, and people's "
        "own captions of Clotho are all distinct (1.00), so there is little to gain there."
    ),
    source="the document, 4.2",
    cures=("data.generic-captions",),
    switch=Switch(
        lambda setup: setup.change("data", min_specific_words=1),
        lambda setup: setup.data.min_specific_words > 0,
        "data.min_specific_words",
        told="`data.min_specific_words`",
        start="1",
    ),
    ablated=(AblatedForm("caption filter"),),
)
