"""The recipes that ship, as files beside this one: found by name wherever a recipe is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from capfix_cli.training.recipe_reading import read_recipe

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Shipped:
    """One of them.

    Attributes:
        name: by which ``capfix retrain`` takes it.
        title: what it is for, its file's first line.
        fixes: ids of the catalogue.
        path: of the file.
    """

    name: str
    title: str
    fixes: tuple[str, ...]
    path: str


def shipped() -> list[Shipped]:
    """List the recipes by name."""
    rows = []
    for path in sorted(FOLDER.glob("*.yaml")):
        title = path.read_text(encoding="utf-8").splitlines()[0].lstrip("# ").rstrip(".")
        rows.append(Shipped(path.stem, title, tuple(read_recipe(path).recipe.fixes), str(path)))
    return rows


def locate(name: str) -> str:
    """Give the path of a recipe that ships, or the name as it is: a file of the user's wins."""
    path = FOLDER / f"{name}.yaml"
    return str(path) if not Path(name).exists() and path.is_file() else name
