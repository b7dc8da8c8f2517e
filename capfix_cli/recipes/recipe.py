"""Recipes: the training part of a plan as a YAML file, schema ``capfix.recipe/1``."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from capfix_cli.captioners.own.config import BASELINE, CaptionerConfig, from_dict, to_dict
from capfix_cli.errors import CapfixError
from capfix_cli.recipes.expect import USUAL, check_promises
from capfix_cli.recipes.limits import ALPHA_LIMIT
from capfix_cli.recipes.options import AugmentationOptions, DataOptions, Setup, TrainingOptions
from capfix_cli.recipes.schema import read_options
from capfix_cli.recipes.switches import SWITCHES, turn_on
from capfix_cli.records import PlanRow

SCHEMA = "capfix.recipe/1"
FIXES = tuple(SWITCHES)  # what a recipe can carry out
SECTIONS = (
    *("schema", "trains", "based_on", "fixes", "model", "data", "augmentation"),
    *("training", "expect", "control", "rewrites"),
)
TRAINS = ("capfix", "yours")  # whose captioner


@dataclass(frozen=True)
class Recipe:
    """A retraining that can be run.

    Attributes:
        based_on: the run, the checkpoint's sha256 and the verdict that it answers.
        fixes: fix id -> why it is in.
        setup: what to train and how.
        expect: what should change, measure -> promise (see :mod:`capfix_cli.recipes.expect`).
        control: the same without the fixes, at the same budget.
        trains: ``capfix``: a captioner of capfix's own; ``yours``: the one it is based on, from
            its weights on, with the fixes that leave its architecture as it is.
        rewrites: fix id -> the code to write for fixes that change the architecture of yours.
    """

    based_on: dict[str, Any]
    fixes: dict[str, str]
    setup: Setup
    expect: dict[str, Any]
    control: Setup
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
    control = Setup(base or BASELINE, training or TrainingOptions())
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
        "model": to_dict(setup.model),
        "data": {"captions": None, "audio": None, **dataclasses.asdict(setup.data)},
        "augmentation": dataclasses.asdict(setup.augmentation),
        "training": dataclasses.asdict(setup.training),
        "expect": recipe.expect,
        "control": {
            "model": to_dict(control.model),
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
    path.write_text(header + yaml.safe_dump(body, sort_keys=False), encoding="utf-8")


def _changes(new: Any, old: Any) -> dict[str, Any]:
    """Give the fields of ``old`` that differ from ``new``."""
    kept = dataclasses.asdict(old)
    return {
        name: kept[name] for name, value in dataclasses.asdict(new).items() if kept[name] != value
    }


@dataclass(frozen=True)
class RecipeFile:
    """A recipe as read, with the data it names, if any, and what is odd in it."""

    recipe: Recipe
    captions: str | None
    audio: str | None
    warnings: tuple[str, ...] = ()


def read_recipe(path: str | Path) -> RecipeFile:
    """Read and check a recipe.

    Raises:
        CapfixError: unreadable, or wrong: the message lists every error at once.
    """
    path = Path(path)
    body = _read_yaml(path)
    found, errors = check_recipe(body)
    if errors or found is None:
        raise CapfixError(
            f"{path} has {len(errors)} error(s): {'; '.join(errors)}.",
            "Mend these and run it again.",
        )
    return found


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        body = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CapfixError(
            f"There is no recipe {path}.",
            "`capfix diagnose` writes one into its run's folder; `capfix recipe list` shows those"
            " that ship.",
        ) from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise CapfixError(
            f"{path} cannot be read as YAML: {str(error).splitlines()[0]}.", "Mend it."
        ) from error
    if not isinstance(body, dict):
        raise CapfixError(f"{path} is not a recipe.", "A recipe is a YAML mapping.")
    return body


def check_recipe(body: Mapping[str, Any]) -> tuple[RecipeFile | None, list[str]]:
    """Give a recipe, or every error in it."""
    errors: list[str] = []
    if body.get("schema") != SCHEMA:
        errors.append(f"schema is {body.get('schema')!r}, not {SCHEMA}")
    errors += [f"{name} is not a section" for name in body if name not in SECTIONS]
    trains = body.get("trains", "capfix")
    if trains not in TRAINS:
        errors.append(f"trains is {trains!r:.40}, not one of {', '.join(TRAINS)}")
    data = body.get("data") or {}
    paths: dict[str, str | None] = {"captions": None, "audio": None}
    if isinstance(data, dict):
        data = dict(data)
        for name in paths:
            value = data.pop(name, None)
            if value is not None and not isinstance(value, str):
                errors.append(f"data.{name} is {value!r:.40}, not a path")
            paths[name] = value
    setup = _setup({**body, "data": data}, "", errors)
    control = _control(body.get("control"), body, errors)
    fixes = _fixes(body.get("fixes", []), errors)
    expect = check_promises(body.get("expect") or {}, errors)
    rewrites = body.get("rewrites") or {}
    if not isinstance(rewrites, dict):
        errors.append("rewrites must be a mapping of fixes to code")
    if errors or setup is None or control is None:
        return None, errors
    errors += _unkept(fixes, setup, trains)
    if errors:
        return None, errors
    recipe = Recipe(
        based_on=dict(body.get("based_on") or {}),
        fixes=fixes,
        setup=setup,
        expect=expect,
        control=control,
        trains=trains,
        rewrites={str(name): str(code) for name, code in rewrites.items()},
    )
    return RecipeFile(recipe, paths["captions"], paths["audio"], _warnings(setup)), []


def _setup(body: Mapping[str, Any], place: str, errors: list[str]) -> Setup | None:
    model = _model(body.get("model", to_dict(BASELINE)), f"{place}model", errors)
    training = read_options(TrainingOptions, body.get("training", {}), f"{place}training", errors)
    data = read_options(DataOptions, body.get("data") or {}, f"{place}data", errors)
    augmentation = read_options(
        AugmentationOptions, body.get("augmentation") or {}, f"{place}augmentation", errors
    )
    if model is None or training is None or data is None or augmentation is None:
        return None
    return Setup(model, training, data, augmentation)


def _control(section: Any, body: Mapping[str, Any], errors: list[str]) -> Setup | None:
    """Read the control: the recipe's own sections but for what it sets otherwise."""
    section = section or {}
    if not isinstance(section, dict):
        errors.append("control must be a mapping")
        return None
    known = ("model", "data", "augmentation", "training", "label_smoothing")
    errors += [f"control.{name} is not a field" for name in section if name not in known]
    merged: dict[str, Any] = {"model": section.get("model", to_dict(BASELINE))}
    for name in ("data", "augmentation", "training"):
        own, other = body.get(name) or {}, section.get(name) or {}
        if isinstance(own, dict) and isinstance(other, dict):
            plain = {k: v for k, v in own.items() if k not in {"captions", "audio"}}
            merged[name] = {**plain, **other}
    if "label_smoothing" in section or not section:
        # As the first recipes wrote it.
        smoothing = section.get("label_smoothing", 0.0)
        merged["training"] = {**merged.get("training", {}), "label_smoothing": smoothing}
    found: list[str] = []
    setup = _setup(merged, "control.", found)
    # What is wrong in the recipe's own sections has been said of them.
    errors += [error for error in found if error.removeprefix("control.") not in errors]
    return setup


def _model(section: Any, place: str, errors: list[str]) -> CaptionerConfig | None:
    try:
        return from_dict(section)
    except CapfixError as error:
        errors.append(f"{place}: {error.message}")
        return None


def _fixes(section: Any, errors: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    if not isinstance(section, list):
        errors.append("fixes must be a list")
        return found
    for row in section:
        id_ = row.get("id") if isinstance(row, dict) else None
        if not isinstance(row, dict) or str(id_) not in FIXES:
            errors.append(f"fixes: {id_ or row!r} is not a fix a recipe can carry out")
        else:
            found[str(id_)] = str(row.get("reason", ""))
    return found


def _unkept(fixes: Mapping[str, str], setup: Setup, trains: str) -> list[str]:
    """Name fixes that the recipe lists and its settings do not carry out."""
    return [
        f"fixes: {fix} is listed, and {SWITCHES[fix].field} leaves it off"
        for fix in fixes
        if not SWITCHES[fix].is_on(setup) and not (trains == "yours" and SWITCHES[fix].architecture)
    ]


def _warnings(setup: Setup) -> tuple[str, ...]:
    alpha = setup.training.diversity_alpha
    if alpha <= ALPHA_LIMIT.value:
        return ()
    return (
        f"training.diversity_alpha is {alpha:g}: it would weigh more than the words themselves, and"
        f" is held to {ALPHA_LIMIT.value:g}",
    )
