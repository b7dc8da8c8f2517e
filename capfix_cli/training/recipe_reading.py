"""Reading recipes: every section checked, every error told at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from capfix_cli.captioners.own.own_config import BASELINE, CaptionerConfig, from_dict, to_dict
from capfix_cli.core.errors import CapfixError
from capfix_cli.training.expectation import check_promises
from capfix_cli.training.recipe import FIXES, SCHEMA, Recipe
from capfix_cli.training.section_reading import read_options
from capfix_cli.training.switches import SWITCHES
from capfix_cli.training.training_config import (
    AugmentationOptions,
    DataOptions,
    TrainingConfig,
    TrainingOptions,
)
from capfix_cli.training.training_limits import ALPHA_LIMIT

SECTIONS = (
    *("schema", "trains", "based_on", "fixes", "model", "data", "augmentation"),
    *("training", "expect", "control", "rewrites"),
)
TRAINS = ("capfix", "yours")  # whose captioner


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


def _setup(body: Mapping[str, Any], place: str, errors: list[str]) -> TrainingConfig | None:
    model = _model(body.get("model", to_dict(BASELINE)), f"{place}model", errors)
    training = read_options(TrainingOptions, body.get("training", {}), f"{place}training", errors)
    data = read_options(DataOptions, body.get("data") or {}, f"{place}data", errors)
    augmentation = read_options(
        AugmentationOptions, body.get("augmentation") or {}, f"{place}augmentation", errors
    )
    if model is None or training is None or data is None or augmentation is None:
        return None
    return TrainingConfig(model, training, data, augmentation)


def _control(section: Any, body: Mapping[str, Any], errors: list[str]) -> TrainingConfig | None:
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


def _unkept(fixes: Mapping[str, str], setup: TrainingConfig, trains: str) -> list[str]:
    """Name fixes that the recipe lists and its settings do not carry out."""
    return [
        f"fixes: {fix} is listed, and {SWITCHES[fix].field} leaves it off"
        for fix in fixes
        if not SWITCHES[fix].is_on(setup) and not (trains == "yours" and SWITCHES[fix].architecture)
    ]


def _warnings(setup: TrainingConfig) -> tuple[str, ...]:
    alpha = setup.training.diversity_alpha
    if alpha <= ALPHA_LIMIT.value:
        return ()
    return (
        f"training.diversity_alpha is {alpha:g}: it would weigh more than the words themselves, and"
        f" is held to {ALPHA_LIMIT.value:g}",
    )
