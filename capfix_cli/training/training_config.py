"""Every switch of a recipe: a field with its range, its default off where it is a fix."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from capfix_cli.captioners.own.own_config import BASELINE, CaptionerConfig


def number(default: Any, low: float, high: float) -> Any:
    """A numeric field that ``section_reading`` holds to ``low`` .. ``high``."""
    return field(default=default, metadata={"low": low, "high": high})


def choice(default: str, *others: str) -> Any:
    """A field that is one of a few words."""
    return field(default=default, metadata={"choices": (default, *others)})


@dataclass(frozen=True)
class TrainingOptions:
    """How to train.

    Attributes:
        epochs: passes over the clips; each gives one of a clip's captions, drawn anew.
        batch_size: clips.
        learning_rate: of AdamW.
        weight_decay: of AdamW (5.2).
        gradient_clip: largest norm of the gradient; 0 is off (5.3).
        label_smoothing: share of the target spread over all words (3.1).
        seed: of the first weights, the order, the captions drawn and dropout.
        scheduled_sampling: share of the words fed to the decoder that are its own predictions, at
            the end of training; 0 is off (3.2).
        sampling_schedule: how that share rises from 0.
        diversity_alpha: weight of the penalty on repeats; 0 is off (3.3).
        diversity_form: ``repeats`` of a word at the next place, or ``unlikelihood`` of any word
            that the caption has said before.
        curriculum: which captions an epoch may use: all, or short ones first, by thirds of the
            budget or by competence (3.5).
        listening_weight: weight of the contrastive objective; 0 is off (3.6).
        listening_negatives: other clips that each caption is tried on.
        early_stopping: epochs without better listening on held-out clips before training stops;
            0 is off (5.3).
        precision: of the arithmetic; mixed ones are faster on GPUs.
    """

    epochs: int = number(20, 1, 100_000)
    batch_size: int = number(32, 1, 100_000)
    learning_rate: float = number(1e-3, 1e-9, 10.0)
    weight_decay: float = number(1e-4, 0.0, 10.0)
    gradient_clip: float = number(5.0, 0.0, 1e6)
    label_smoothing: float = number(0.0, 0.0, 0.99)
    seed: int = number(0, 0, 2**63 - 1)
    scheduled_sampling: float = number(0.0, 0.0, 1.0)
    sampling_schedule: str = choice("linear", "inverse-sigmoid")
    diversity_alpha: float = number(0.0, 0.0, 10.0)
    diversity_form: str = choice("repeats", "unlikelihood")
    curriculum: str = choice("none", "thirds", "competence")
    listening_weight: float = number(0.0, 0.0, 100.0)
    listening_negatives: int = number(3, 1, 1_000)
    early_stopping: int = number(0, 0, 100_000)
    precision: str = choice("32-true", "bf16-mixed", "16-mixed")

    def facts(self, captions_per_clip: int, augmentation: str = "") -> dict[str, Any]:
        """What a checkpoint remembers of its training."""
        return {
            **dataclasses.asdict(self),
            "captions_per_clip": captions_per_clip,
            "augmentation": augmentation,
        }


@dataclass(frozen=True)
class DataOptions:
    """Which captions to learn from, and how often each kind.

    Attributes:
        captions_per_clip: the first so many of each clip; 0 is all of them (4.3).
        min_specific_words: captions that name fewer things are left out; 0 is off (4.2).
        balance: how far kinds of caption are evened out: 0 as they occur, 1 all alike (4.1).
        balance_by: draws rare kinds more often, repeats them, or drops some of the common ones.
        validation_share: of the clips, held out to choose the best epoch by listening; 0 is none.
    """

    captions_per_clip: int = number(0, 0, 1_000)
    min_specific_words: int = number(0, 0, 50)
    balance: float = number(0.0, 0.0, 1.0)
    balance_by: str = choice("weights", "oversampling", "undersampling")
    validation_share: float = number(0.0, 0.0, 0.9)


@dataclass(frozen=True)
class AugmentationOptions:
    """What is altered in clips and captions (3.4); everything off by default.

    Attributes:
        variants: altered copies of each clip's waveform, made once and cached; every epoch takes
            the clip as it is or one of them.
        time_stretch: a copy is up to this share faster or slower, at the same pitch: .2 is
            .8 to 1.2.
        pitch_semitones: a copy is up to so many semitones higher or lower.
        noise_share: of the copies that get noise.
        noise_snr: of clip to noise, in decibels.
        noise_folder: recordings to take the noise from; pink noise where empty.
        mask_bands: SpecAugment: most neighbouring mel bands masked, drawn anew each time.
        mask_frames: SpecAugment: largest share of neighbouring frames masked.
        mixup: alpha of the Beta distribution by which two clips are mixed; 0 is off.
        synonyms: share of the replaceable words of a caption that become synonyms.
        wordnet: the folder of WordNet's data files.
        paraphrases: more captions a caption, written by a local model.
        paraphrase_model: the folder of a sequence-to-sequence model of transformers.
    """

    variants: int = number(0, 0, 100)
    time_stretch: float = number(0.0, 0.0, 0.5)
    pitch_semitones: float = number(0.0, 0.0, 12.0)
    noise_share: float = number(0.0, 0.0, 1.0)
    noise_snr: float = number(20.0, -30.0, 100.0)
    noise_folder: str = ""
    mask_bands: int = number(0, 0, 512)
    mask_frames: float = number(0.0, 0.0, 0.9)
    mixup: float = number(0.0, 0.0, 10.0)
    synonyms: float = number(0.0, 0.0, 1.0)
    wordnet: str = "/usr/share/wordnet"
    paraphrases: int = number(0, 0, 20)
    paraphrase_model: str = ""

    def in_words(self) -> str:
        """Name what is on, for a checkpoint's facts and the plan."""
        used = {
            "time stretch": self.variants and self.time_stretch,
            "pitch shift": self.variants and self.pitch_semitones,
            "noise": self.variants and self.noise_share,
            "SpecAugment": self.mask_bands or self.mask_frames,
            "mixup": self.mixup,
            "synonyms": self.synonyms,
            "paraphrases": self.paraphrases,
        }
        return ", ".join(name for name, value in used.items() if value)


@dataclass(frozen=True)
class TrainingConfig:
    """A whole training: what is trained, how, on which data, altered how."""

    model: CaptionerConfig = BASELINE
    training: TrainingOptions = field(default_factory=TrainingOptions)
    data: DataOptions = field(default_factory=DataOptions)
    augmentation: AugmentationOptions = field(default_factory=AugmentationOptions)

    def change(self, section: str, **values: Any) -> TrainingConfig:
        """Give the same with some values of one section replaced.

        >>> Setup().change("training", label_smoothing=0.1).training.label_smoothing
        0.1
        """
        inner = dataclasses.replace(getattr(self, section), **values)
        changes: Mapping[str, Any] = {section: inner}
        return dataclasses.replace(self, **changes)
