"""Recipes: the training part of a plan as a YAML file, schema ``capfix.recipe/1``."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from capfix_cli.captioners.own.config import BASELINE, CaptionerConfig, from_dict, to_dict
from capfix_cli.errors import CapfixError
from capfix_cli.recipes.training import TrainingOptions
from capfix_cli.records import PlanRow

SCHEMA = "capfix.recipe/1"
FIXES = ("2.1", "2.2", "2.3", "3.1")  # what a recipe can carry out
SMOOTHING = 0.1  # the document, 3.1 and its tree


@dataclass(frozen=True)
class Recipe:
    """A retraining that can be run.

    Attributes:
        based_on: the run, the checkpoint's sha256 and the verdict that it answers.
        fixes: fix id -> why it is in.
        model: the captioner to train.
        training: how to train it.
        expect: what should change, measure -> sentence.
        control: the model and training without the fixes, at the same budget.
    """

    based_on: dict[str, Any]
    fixes: dict[str, str]
    model: CaptionerConfig
    training: TrainingOptions
    expect: dict[str, str]
    control: tuple[CaptionerConfig, TrainingOptions]


def make_recipe(
    plan: Sequence[PlanRow],
    based_on: Mapping[str, Any],
    base: CaptionerConfig | None,
    training: TrainingOptions | None = None,
) -> Recipe | None:
    """Turn the plan's needed training fixes into a recipe; None where none is needed.

    Args:
        plan: of the diagnosis.
        based_on: run, sha256 and verdict.
        base: the diagnosed captioner's own config. None for a captioner that is not capfix's:
            then the recipe trains capfix's baseline with the fixes applied.
        training: budget; the default where None.
    """
    needed = {row.fix: row.reason for row in plan if row.status == "needed" and row.fix in FIXES}
    if not needed:
        return None
    base = base or BASELINE
    training = training or TrainingOptions()
    model, smoothing = base, training.label_smoothing
    if "2.1" in needed:
        model = dataclasses.replace(
            model, encoder=dataclasses.replace(model.encoder, pooling="frequency")
        )
    if "2.2" in needed and model.conditioning == "initial-state":
        model = dataclasses.replace(model, conditioning="every-step")
    if "2.3" in needed:
        model = dataclasses.replace(model, conditioning="attention")
    if "3.1" in needed:
        smoothing = SMOOTHING
    return Recipe(
        based_on=dict(based_on),
        fixes=needed,
        model=model,
        training=dataclasses.replace(training, label_smoothing=smoothing),
        expect={
            "listening": "at least 3 times the bits, on clips it never saw",
            "verdict": "healthy or generic",
            "distinct_captions": "more than now",
        },
        control=(base, training),
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
    body = {
        "schema": SCHEMA,
        "based_on": recipe.based_on,
        "fixes": [{"id": id_, "reason": reason} for id_, reason in recipe.fixes.items()],
        "model": to_dict(recipe.model),
        "data": {"captions": None, "audio": None},
        "training": dataclasses.asdict(recipe.training),
        "expect": recipe.expect,
        "control": {
            "model": to_dict(recipe.control[0]),
            "label_smoothing": recipe.control[1].label_smoothing,
        },
    }
    header = (
        "# Run it:\n"
        f"#   capfix retrain {shown_as or path} --captions train.csv --audio train/\n"
        "# data.captions and data.audio may name them here instead. `control` is the same\n"
        "# training without the fixes: what it reaches, longer training alone would reach.\n"
    )
    path.write_text(header + yaml.safe_dump(body, sort_keys=False), encoding="utf-8")


@dataclass(frozen=True)
class RecipeFile:
    """A recipe as read, with the data it names, if any."""

    recipe: Recipe
    captions: str | None
    audio: str | None


def read_recipe(path: str | Path) -> RecipeFile:
    """Read and check a recipe.

    Raises:
        CapfixError: unreadable, or wrong: the message lists every error at once.
    """
    path = Path(path)
    try:
        body = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CapfixError(
            f"There is no recipe {path}.", "`capfix diagnose` writes one into its run's folder."
        ) from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise CapfixError(
            f"{path} cannot be read as YAML: {str(error).splitlines()[0]}.", "Mend it."
        ) from error
    errors: list[str] = []
    if not isinstance(body, dict):
        raise CapfixError(f"{path} is not a recipe.", "A recipe is a YAML mapping.")
    if body.get("schema") != SCHEMA:
        errors.append(f"schema is {body.get('schema')!r}, not {SCHEMA}")
    known = {"schema", "based_on", "fixes", "model", "data", "training", "expect", "control"}
    errors += [f"{name} is not a section" for name in body if name not in known]
    model = _model(body.get("model"), "model", errors)
    training = _training(body.get("training", {}), errors)
    control = body.get("control")
    control = control if isinstance(control, dict) else {}
    base = _model(control.get("model", to_dict(BASELINE)), "control.model", errors)
    fixes = _fixes(body.get("fixes", []), errors)
    data = body.get("data") or {}
    if not isinstance(data, dict):
        errors.append("data must be a mapping with captions and audio")
        data = {}
    if errors or model is None or training is None or base is None:
        raise CapfixError(
            f"{path} has {len(errors)} error(s): {'; '.join(errors)}.",
            "Mend these and run it again.",
        )
    smoothing = float(control.get("label_smoothing", 0.0))
    recipe = Recipe(
        based_on=dict(body.get("based_on") or {}),
        fixes=fixes,
        model=model,
        training=training,
        expect=dict(body.get("expect") or {}),
        control=(base, dataclasses.replace(training, label_smoothing=smoothing)),
    )
    return RecipeFile(recipe, data.get("captions"), data.get("audio"))


def _model(section: Any, place: str, errors: list[str]) -> CaptionerConfig | None:
    try:
        return from_dict(section)
    except CapfixError as error:
        errors.append(f"{place}: {error.message}")
        return None


_RANGES: Mapping[str, tuple[float, float]] = {
    "epochs": (1, 100_000),
    "batch_size": (1, 100_000),
    "learning_rate": (1e-9, 10.0),
    "weight_decay": (0.0, 10.0),
    "gradient_clip": (1e-6, 1e6),
    "label_smoothing": (0.0, 0.99),
    "seed": (0, 2**63 - 1),
}


def _training(section: Any, errors: list[str]) -> TrainingOptions | None:
    if not isinstance(section, dict):
        errors.append("training must be a mapping")
        return None
    before = len(errors)
    whole = {"epochs", "batch_size", "seed"}
    for name, value in section.items():
        if name not in _RANGES:
            errors.append(f"training.{name} is not a field (known: {', '.join(_RANGES)})")
            continue
        low, high = _RANGES[name]
        kinds = int if name in whole else (int, float)
        if isinstance(value, bool) or not isinstance(value, kinds) or not low <= value <= high:
            what = "a whole number" if name in whole else "a number"
            errors.append(f"training.{name} is {value!r:.40}, not {what} in {low:g}..{high:g}")
    return TrainingOptions(**section) if len(errors) == before else None


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
