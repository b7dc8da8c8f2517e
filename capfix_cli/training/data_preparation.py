"""From what was read to what is trained on: held-out clips, filters, and more captions."""

from __future__ import annotations

import dataclasses

from capfix_cli.core.errors import CapfixError
from capfix_cli.core.randomness import drawn_order
from capfix_cli.diagnosis.training_data.content_words import specific_words
from capfix_cli.training.augment.caption_augment import (
    add_paraphrases,
    add_synonyms,
    local_paraphraser,
)
from capfix_cli.training.augment.wordnet import WordNet
from capfix_cli.training.training_clips import LeftOut, TrainingClips
from capfix_cli.training.training_config import AugmentationOptions, DataOptions

FEWEST_HELD_OUT = 8  # clips; listening on fewer says nothing


def prepare(
    clips: TrainingClips, data: DataOptions, augmentation: AugmentationOptions, seed: int
) -> tuple[TrainingClips, TrainingClips | None]:
    """Hold clips out, choose captions and add to them.

    Args:
        clips: as they were read.
        data: which captions are trained on, and how many clips are held out.
        augmentation: which captions are added.
        seed: of the clips held out and of the words changed.

    Returns:
        The clips to train on, and those to choose the best epoch by, which keep their captions
        as they are; None where none are held out.

    Raises:
        CapfixError: nothing is left to train on, or WordNet or the paraphrasing model cannot be
            used.
    """
    clips, held = hold_out(clips, data.validation_share, seed)
    if data.captions_per_clip:
        most = data.captions_per_clip
        clips = dataclasses.replace(clips, captions=[texts[:most] for texts in clips.captions])
    if data.min_specific_words:
        clips = filter_captions(clips, data.min_specific_words)
    if augmentation.synonyms:
        thesaurus = WordNet(augmentation.wordnet)
        captions = add_synonyms(clips.captions, augmentation.synonyms, thesaurus, seed)
        clips = dataclasses.replace(clips, captions=captions)
    if augmentation.paraphrases:
        write = local_paraphraser(augmentation.paraphrase_model)
        captions = add_paraphrases(clips.captions, augmentation.paraphrases, write)
        clips = dataclasses.replace(clips, captions=captions)
    return clips, held


def hold_out(
    clips: TrainingClips, share: float, seed: int
) -> tuple[TrainingClips, TrainingClips | None]:
    """Part clips by a hash of their names, so that the same clips are held out in every run.

    Args:
        clips: to part.
        share: of them to hold out, 0 to 1; at least eight are.
        seed: of the draw.

    Returns:
        The clips to train on and those held out, both in the order they had; None where the share
        is 0.

    Raises:
        CapfixError: none would be left to train on.
    """
    if not share:
        return clips, None
    names = clips.names or [str(place) for place in range(len(clips.captions))]
    order = drawn_order(names, seed)
    size = max(FEWEST_HELD_OUT, round(share * len(names)))
    if size >= len(names):
        raise CapfixError(
            f"Of {len(names)} clips {size} would be held out: none is left to train on.",
            "Give more clips, or set data.validation_share: 0.",
        )
    return clips.subset(sorted(order[size:])), clips.subset(sorted(order[:size]))


def is_specific(caption: str, at_least: int = 1) -> bool:
    """Say whether a caption names enough, by the rule of a diagnosis of training captions.

    >>> is_specific("A sound is heard."), is_specific("A dog barks")
    (False, True)
    """
    return len(specific_words(caption)) >= at_least


def filter_captions(clips: TrainingClips, at_least: int) -> TrainingClips:
    """Leave out captions that name fewer things than ``at_least``, and say which (fix 4.2).

    Args:
        clips: with their captions.
        at_least: words that name something, a caption.

    Returns:
        Clips that have captions left, the captions left out among ``rejected``.

    Raises:
        CapfixError: no caption is left.
    """
    kept, rejected, places = [], [], []
    names = clips.names or [str(place) for place in range(len(clips.captions))]
    for place, texts in enumerate(clips.captions):
        own = [text for text in texts if is_specific(text, at_least)]
        rejected += [
            LeftOut(names[place], text, f"generic: names fewer than {at_least} thing(s)")
            for text in texts
            if not is_specific(text, at_least)
        ]
        if own:
            kept.append(own)
            places.append(place)
    if not kept:
        raise CapfixError(
            f"No caption names {at_least} thing(s): the filter leaves nothing to train on.",
            "Lower data.min_specific_words.",
        )
    left = clips.subset(places)
    return dataclasses.replace(left, captions=kept, rejected=(*clips.rejected, *rejected))
