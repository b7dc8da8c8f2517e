"""Recipes: the training part of a plan as a YAML file, schema ``capfix.recipe/1``."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from capfix_cli.captioners.own.own_config import BASELINE, CaptionerConfig, to_dict
from capfix_cli.core.files import write_text
from capfix_cli.schemas.diagnosis_record import PlanRow
from capfix_cli.training.expectation import USUAL
from capfix_cli.training.switches import SWITCHES, turn_on
from capfix_cli.training.training_config import TrainingConfig, TrainingOptions

SCHEMA = "capfix.recipe/1"
FIXES = tuple(SWITCHES)  # what a recipe can carry out


@dataclass(frozen=True)
class Recipe:
    """A retraining that can be run.

    Attributes:
        based_on: the run, the checkpoint's sha256 and the verdict that it answers.
        fixes: fix id -> why it is in.
        setup: what to train and how.
        expect: what should change, measure -> promise (see :mod:`capfix_cli.training.expectation`).
        control: the same without the fixes, at the same budget.
        trains: ``capfix``: a captioner of capfix's own; ``yours``: the one it is based on, from
            its weights on, with the fixes that leave its architecture as it is.
        rewrites: fix id -> the code to write for fixes that change the architecture of yours.
    """

    based_on: dict[str, Any]
    fixes: dict[str, str]
    setup: TrainingConfig
    expect: dict[str, Any]
    control: TrainingConfig
    trains: str = "capfix"
    rewrites: dict[str, str] = field(default_factory=dict)

    @property
    def model(self) -> CaptionerConfig:
        """The captioner to train."""
        return self.setup.model

    @property
    def training(self) -> TrainingOptions:
        """How to train it."""
        return self.setup.training

    def with_epochs(self, epochs: int) -> Recipe:
        """Give both trainings another budget."""
        return dataclasses.replace(
            self,
            setup=self.setup.change("training", epochs=epochs),
            control=self.control.change("training", epochs=epochs),
        )


def make_recipe(
    plan: Sequence[PlanRow],
    based_on: Mapping[str, Any],
    base: CaptionerConfig | None,
    training: TrainingOptions | None = None,
    *,
    yours: bool = False,
    rewrites: Mapping[str, str] | None = None,
) -> Recipe | None:
    """Turn the plan's needed training fixes into a recipe; None where none is needed.

    Args:
        plan: of the diagnosis.
        based_on: run, sha256 and verdict.
        base: the diagnosed captioner's own config. None for a captioner that is not capfix's:
            then the recipe trains capfix's baseline with the fixes applied.
        training: budget; the default where None.
        yours: train the user's own captioner; fixes that change its architecture are left to
            ``rewrites``.
        rewrites: fix id -> code, for those.
    """
    needed = {row.fix: row.reason for row in plan if row.status == "needed" and row.fix in FIXES}
    if not needed:
        return None
    control = TrainingConfig(base or BASELINE, training or TrainingOptions())
    used = [fix for fix in needed if not (yours and SWITCHES[fix].architecture)]
    return Recipe(
        based_on=dict(based_on),
        fixes=needed,
        setup=turn_on(control, *used),
        expect={name: dict(row) for name, row in USUAL.items()},
        control=control,
        trains="yours" if yours else "capfix",
        rewrites=dict(rewrites or {}),
    )


def training_like(facts: Mapping[str, Any]) -> TrainingOptions:
    """Take optimiser settings from a checkpoint that tells them; the budget is the default.

    So before and after differ by the fixes and the budget, and the control by the budget alone.
    """
    names = ("batch_size", "learning_rate", "weight_decay", "gradient_clip")
    known = {name: facts[f"training.{name}"] for name in names if f"training.{name}" in facts}
    return TrainingOptions(**known)


def write_recipe(recipe: Recipe, path: Path, shown_as: Path | None = None) -> None:
    """Write a recipe whose first lines say how to run it, from where it is ``shown_as``."""
    setup, control = recipe.setup, recipe.control
    body: dict[str, Any] = {
        "schema": SCHEMA,
        "trains": recipe.trains,
        "based_on": recipe.based_on,
        "fixes": [{"id": id_, "reason": reason} for id_, reason in recipe.fixes.items()],
        "model": _lean(setup.model),
        "data": {"captions": None, "audio": None, **dataclasses.asdict(setup.data)},
        "augmentation": dataclasses.asdict(setup.augmentation),
        "training": dataclasses.asdict(setup.training),
        "expect": recipe.expect,
        "control": {
            "model": _lean(control.model),
            **{
                section: changed
                for section in ("data", "augmentation", "training")
                if (changed := _changes(getattr(setup, section), getattr(control, section)))
            },
        },
    }
    if recipe.rewrites:
        body["rewrites"] = recipe.rewrites
    header = (
        "# Run it:\n"
        f"#   capfix retrain {shown_as or path} --captions train.csv --audio train/\n"
        "# data.captions and data.audio may name them here instead. `control` is the same\n"
        "# training without the fixes: what it reaches, longer training alone would reach.\n"
    )
    write_text(path, header + yaml.safe_dump(body, sort_keys=False))


def _changes(new: Any, old: Any) -> dict[str, Any]:
    """Give the fields of ``old`` that differ from ``new``."""
    kept = dataclasses.asdict(old)
    return {
        name: kept[name] for name, value in dataclasses.asdict(new).items() if kept[name] != value
    }


def _lean(config: CaptionerConfig) -> dict[str, Any]:
    """Give a configuration without the sizes of an AST that it has not."""
    model = to_dict(config)
    if config.encoder.pretrained != "ast":
        model["encoder"].pop("ast", None)
    return model
