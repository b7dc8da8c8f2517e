"""Reading recipes: every section checked, every error told at once."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml

from capfix_cli.captioners.own.config_checks import contradictions
from capfix_cli.captioners.own.own_config import with_implied
from capfix_cli.core.errors import CapfixError
from capfix_cli.schemas.record_reading import RecordError, read_record
from capfix_cli.training.expectation import check_promises
from capfix_cli.training.recipe import FIXES, Recipe
from capfix_cli.training.recipe_document import ControlDocument, RecipeDocument
from capfix_cli.training.switches import SWITCHES
from capfix_cli.training.training_config import DataOptions, TrainingConfig
from capfix_cli.training.training_limits import ALPHA_LIMIT

Section = TypeVar("Section", "RecipeDocument", "ControlDocument")
OPTIONAL = ("based_on", "data", "augmentation", "expect", "control", "rewrites")  # null is none


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
    body = {k: v for k, v in body.items() if v is not None or k not in OPTIONAL}
    document = _read(RecipeDocument, _with_implied_model(_with_fix_ids(body)), errors)
    control = _control(body.get("control", {}), body, errors)
    fixes = _fixes(body.get("fixes", []), errors)
    expect = check_promises(body.get("expect", {}), errors)
    if errors or document is None or control is None:
        return None, errors
    setup = _setup(document)
    errors += _unkept(fixes, setup, document.trains)
    if errors:
        return None, errors
    recipe = Recipe(
        based_on=document.based_on,
        fixes=fixes,
        setup=setup,
        expect=expect,
        control=control,
        trains=document.trains,
        rewrites=document.rewrites,
    )
    paths = document.data
    return RecipeFile(recipe, paths.captions, paths.audio, _warnings(setup)), []


def _read(kind: type[Section], data: Any, errors: list[str]) -> Section | None:
    try:
        section = read_record(kind, data)
    except RecordError as error:
        errors += error.problems
        return None
    errors += [f"model.{problem}" for problem in contradictions(section.model)]
    return section


def _setup(section: RecipeDocument | ControlDocument) -> TrainingConfig:
    named = {row.name: getattr(section.data, row.name) for row in dataclasses.fields(DataOptions)}
    return TrainingConfig(
        section.model, section.training, DataOptions(**named), section.augmentation
    )


def _with_implied_model(body: dict[str, Any]) -> dict[str, Any]:
    return {**body, "model": with_implied(body["model"])} if "model" in body else body


def _with_fix_ids(body: dict[str, Any]) -> dict[str, Any]:
    """Take 2.1 for "2.1": YAML reads a number where the quotes were left out."""
    rows = body.get("fixes")
    if not isinstance(rows, list):
        return body
    named = [{**r, "id": str(r["id"])} if isinstance(r, dict) and "id" in r else r for r in rows]
    return {**body, "fixes": named}


def _control(section: Any, body: Mapping[str, Any], errors: list[str]) -> TrainingConfig | None:
    """Read the control: the recipe's own sections but for what it sets otherwise."""
    if not isinstance(section, dict):
        return None  # as has been said of the whole
    known = ("model", "data", "augmentation", "training", "label_smoothing")
    errors += [f"control.{name}: not a field" for name in section if name not in known]
    merged: dict[str, Any] = {}
    if "model" in section:
        merged["model"] = section["model"]
    for name in ("data", "augmentation", "training"):
        own, other = body.get(name) or {}, section.get(name) or {}
        if isinstance(own, dict) and isinstance(other, dict):
            merged[name] = {**own, **other}
    if "label_smoothing" in section or not section:
        # As the first recipes wrote it.
        smoothing = section.get("label_smoothing", 0.0)
        merged["training"] = {**merged.get("training", {}), "label_smoothing": smoothing}
    found: list[str] = []
    control = _read(ControlDocument, _with_implied_model(merged), found)
    # What is wrong in the recipe's own sections has been said of them.
    errors += [f"control.{error}" for error in found if error not in errors]
    return None if control is None else _setup(control)


def _fixes(section: Any, errors: list[str]) -> dict[str, str]:
    rows = [row for row in section if isinstance(row, dict)] if isinstance(section, list) else []
    found = {str(row.get("id")): str(row.get("reason", "")) for row in rows}
    unknown = [id_ for id_ in found if id_ not in FIXES]
    errors += [f"fixes: {id_} is not a fix a recipe can carry out" for id_ in unknown]
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
