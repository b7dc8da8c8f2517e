"""A recipe's file as it is written, section by section, ``capfix.recipe/1``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from capfix_cli.captioners.own.own_config import BASELINE, CaptionerConfig
from capfix_cli.training.training_config import AugmentationOptions, DataOptions, TrainingOptions


@dataclass(frozen=True)
class RecipeFix:
    """A fix that the recipe carries out, by its id in the catalogue."""

    id: str
    reason: str = ""


@dataclass(frozen=True)
class RecipeData(DataOptions):
    """What to learn from.

    Attributes:
        captions: file of the training captions; the command line names it otherwise.
        audio: folder of their clips.
    """

    captions: str | None = None
    audio: str | None = None


@dataclass(frozen=True, kw_only=True)
class ControlDocument:
    """The same training without the fixes; what is left out is as in the recipe."""

    model: CaptionerConfig = BASELINE
    data: RecipeData = field(default_factory=RecipeData)
    augmentation: AugmentationOptions = field(default_factory=AugmentationOptions)
    training: TrainingOptions = field(default_factory=TrainingOptions)


@dataclass(frozen=True, kw_only=True)
class RecipeDocument:
    """A whole recipe.

    Attributes:
        schema: of the file.
        trains: a captioner of capfix's own, or the one that the recipe is based on.
        based_on: the run, the checkpoint's sha256 and the verdict that it answers.
        fixes: that are in it.
        model: to train, where it is one of capfix's.
        data: which captions to learn from.
        augmentation: what is altered in clips and captions.
        training: how to train.
        expect: measure -> what should come out.
        control: sections that the control sets otherwise.
        rewrites: fix id -> code, for fixes that change the architecture of yours.
    """

    schema: Literal["capfix.recipe/1"]
    trains: Literal["capfix", "yours"] = "capfix"
    based_on: dict[str, Any] = field(default_factory=dict)
    fixes: tuple[RecipeFix, ...] = ()
    model: CaptionerConfig = BASELINE
    data: RecipeData = field(default_factory=RecipeData)
    augmentation: AugmentationOptions = field(default_factory=AugmentationOptions)
    training: TrainingOptions = field(default_factory=TrainingOptions)
    expect: dict[str, Any] = field(default_factory=dict)
    control: dict[str, Any] = field(default_factory=dict)
    rewrites: dict[str, str] = field(default_factory=dict)
