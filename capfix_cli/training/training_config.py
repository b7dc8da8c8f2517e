"""Every switch of a recipe: a field with its range, its default off where it is a fix."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from annotated_types import Interval

from capfix_cli.captioners.own.own_config import BASELINE, CaptionerConfig


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

    epochs: Annotated[int, Interval(ge=1, le=100_000)] = 20
    batch_size: Annotated[int, Interval(ge=1, le=100_000)] = 32
    learning_rate: Annotated[float, Interval(ge=1e-9, le=10.0)] = 1e-3
    weight_decay: Annotated[float, Interval(ge=0.0, le=10.0)] = 1e-4
    gradient_clip: Annotated[float, Interval(ge=0.0, le=1e6)] = 5.0
    label_smoothing: Annotated[float, Interval(ge=0.0, le=0.99)] = 0.0
    seed: Annotated[int, Interval(ge=0, le=2**63 - 1)] = 0
    scheduled_sampling: Annotated[float, Interval(ge=0.0, le=1.0)] = 0.0
    sampling_schedule: Literal["linear", "inverse-sigmoid"] = "linear"
    diversity_alpha: Annotated[float, Interval(ge=0.0, le=10.0)] = 0.0
    diversity_form: Literal["repeats", "unlikelihood"] = "repeats"
    curriculum: Literal["none", "thirds", "competence"] = "none"
    listening_weight: Annotated[float, Interval(ge=0.0, le=100.0)] = 0.0
    listening_negatives: Annotated[int, Interval(ge=1, le=1_000)] = 3
    early_stopping: Annotated[int, Interval(ge=0, le=100_000)] = 0
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"

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

    captions_per_clip: Annotated[int, Interval(ge=0, le=1_000)] = 0
    min_specific_words: Annotated[int, Interval(ge=0, le=50)] = 0
    balance: Annotated[float, Interval(ge=0.0, le=1.0)] = 0.0
    balance_by: Literal["weights", "oversampling", "undersampling"] = "weights"
    validation_share: Annotated[float, Interval(ge=0.0, le=0.9)] = 0.0


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

    variants: Annotated[int, Interval(ge=0, le=100)] = 0
    time_stretch: Annotated[float, Interval(ge=0.0, le=0.5)] = 0.0
    pitch_semitones: Annotated[float, Interval(ge=0.0, le=12.0)] = 0.0
    noise_share: Annotated[float, Interval(ge=0.0, le=1.0)] = 0.0
    noise_snr: Annotated[float, Interval(ge=-30.0, le=100.0)] = 20.0
    noise_folder: str = ""
    mask_bands: Annotated[int, Interval(ge=0, le=512)] = 0
    mask_frames: Annotated[float, Interval(ge=0.0, le=0.9)] = 0.0
    mixup: Annotated[float, Interval(ge=0.0, le=10.0)] = 0.0
    synonyms: Annotated[float, Interval(ge=0.0, le=1.0)] = 0.0
    wordnet: str = "/usr/share/wordnet"
    paraphrases: Annotated[int, Interval(ge=0, le=20)] = 0
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
