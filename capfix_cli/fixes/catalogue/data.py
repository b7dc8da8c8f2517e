"""Category 4: the captions that the model learns from; prepared once, then trained on anew."""

from __future__ import annotations

from capfix_cli.fixes.fix_spec import CATEGORY_TITLES, Fix, FixSetting

BALANCING = Fix(
    id="4.1",
    title="Class balancing",
    category=4,
    category_title=CATEGORY_TITLES[4],
    aliases=("balancing", "balance", "oversampling", "weighted sampling", "imbalance"),
    what=(
        "Draws rare kinds of caption more often and common ones less, so that one favourite does "
        "not pay off everywhere: 1000 captions of walking against 10 of an alarm clock."
    ),
    when="When a few captions fill a large part of the training file.",
    settings=(
        # The document names the ways without numbers; ours, the usual power of a frequency.
        FixSetting(
            name="balance",
            value="0.5",
            recommended="0.5",
            ranges=(
                ("0", "off: drawn as often as they occur"),
                ("0.5", "by the square root of the frequency"),
                ("1", "every kind equally often; rare captions are seen over and over"),
            ),
        ),
    ),
    pros=("Removes the reward for one favourite caption", "A weighted sampler, no new data"),
    cons=("Needs retraining", "Rare captions repeat and can be learnt by heart"),
    impact="medium-high",
    effort="low-medium",
    retrain=True,
    priority=2,
    snippet="""\
from collections import Counter

from torch.utils.data import WeightedRandomSampler


def balanced_sampler(kinds: list[str], power: float = 0.5) -> WeightedRandomSampler:
    # kinds: one a training caption, such as its main event. Draws a kind that occurs n times
    # in proportion to n ** (1 - power).
    count = Counter(kinds)
    weights = [count[kind] ** -power for kind in kinds]
    return WeightedRandomSampler(weights, num_samples=len(kinds))
""",
    caution=(
        "Severe imbalance teaches a model to ignore audio, as captions that all belong to the "
        "neighbouring clip do (.1 bits; our measurement). Its sign: the caption given no audio is "
        "the commonest one. Rule out shifted pairs first."
    ),
    source="the document, 4.1",
)

FILTERING = Fix(
    id="4.2",
    title="Caption filtering",
    category=4,
    category_title=CATEGORY_TITLES[4],
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
)

ALL_CAPTIONS = Fix(
    id="4.3",
    title="Use all five captions",
    category=4,
    category_title=CATEGORY_TITLES[4],
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
)

FIXES: tuple[Fix, ...] = (BALANCING, FILTERING, ALL_CAPTIONS)
