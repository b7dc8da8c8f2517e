"""The run store: ``.capfix/runs/<id>/``, one folder a diagnosis, written whole or not at all."""

from __future__ import annotations

import datetime
import json
import math
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from capfix_cli.core.errors import CapfixError
from capfix_cli.core.files import umask, write_text
from capfix_cli.schemas.diagnosis_record import DIAGNOSIS_SCHEMA, FIRST_SCHEMA, Diagnosis, upgrade
from capfix_cli.schemas.record_reading import RecordError, read_record

STORE = Path(".capfix") / "runs"
DIAGNOSIS = "diagnosis.json"
CAPTIONS = "captions.csv"
PLAN = "plan.json"
RECIPE = "recipe.yaml"
COMMAND = "command.json"
TRAINING_ROWS = "training-rows.csv"  # of the training captions, those to look at


@dataclass(frozen=True)
class Run:
    """One run on disk.

    Attributes:
        id: the folder's name, ``YYYYMMDD-HHMMSS`` with a suffix where taken.
        folder: where it is.
    """

    id: str
    folder: Path

    def diagnosis(self) -> Diagnosis:
        """Read the run's diagnosis.

        Raises:
            CapfixError: missing, damaged, or of another version of capfix.
        """
        path = self.folder / DIAGNOSIS
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise CapfixError(
                f"The run {self.id} cannot be read: {path} is missing or damaged.",
                "Run `capfix diagnose` again.",
            ) from error
        schema = data.get("schema") if isinstance(data, dict) else None
        if schema not in {DIAGNOSIS_SCHEMA, FIRST_SCHEMA}:
            raise CapfixError(
                f"{path}: schema: Input should be {DIAGNOSIS_SCHEMA!r}, not {schema!r:.60}.",
                "Read it with the version of capfix that wrote it, or run `capfix diagnose` again.",
            )
        try:
            return read_record(Diagnosis, upgrade(data), null_is_nan=True)
        except RecordError as error:
            raise CapfixError(
                f"{path}: {error.first()}.",
                "Put these fields right (docs/schemas/diagnosis.json) or run `capfix diagnose`"
                " again.",
            ) from error

    def command(self) -> dict[str, Any]:
        """Read what was run; empty where that is unknown."""
        try:
            data = json.loads((self.folder / COMMAND).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return data if isinstance(data, dict) else {}


def all_runs(root: Path = Path()) -> list[Run]:
    """Give the finished runs under ``root``, the oldest first."""
    store = root / STORE
    if not store.is_dir():
        return []
    folders = [path for path in store.iterdir() if (path / DIAGNOSIS).is_file()]
    return [Run(path.name, path) for path in sorted(folders, key=lambda path: path.name)]


def find_run(name: str | None, root: Path = Path()) -> Run:
    """Find a run by its id or folder; the latest where no name is given.

    Raises:
        CapfixError: there is none.
    """
    runs = all_runs(root)
    if name is None:
        if not runs:
            raise CapfixError(
                "There is no run here yet.", "Run `capfix diagnose MODEL --audio DIR` first."
            )
        return runs[-1]
    folder = Path(name)
    if (folder / DIAGNOSIS).is_file():
        return Run(folder.resolve().name, folder)
    matching = [run for run in runs if run.id == name]
    if not matching:
        known = ", ".join(run.id for run in runs[-3:]) or "none"
        raise CapfixError(f"There is no run {name!r} here.", f"The latest: {known}.")
    return matching[0]


@contextmanager
def new_run(root: Path = Path()) -> Iterator[Run]:
    """Give a folder to write a run into; it takes its place only if nothing fails.

    Raises:
        CapfixError: the store cannot be written.
    """
    store = root / STORE
    try:
        store.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=".new-", dir=store))
    except OSError as error:
        raise CapfixError(
            f"Runs cannot be stored in {store}: {error.strerror}.",
            "Work in a folder that you may write to.",
        ) from error
    name = _free_name(store)
    try:
        yield Run(name, temporary)
        temporary.chmod(0o777 & ~umask())  # mkdtemp makes it private, unlike other folders
        temporary.rename(store / name)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _free_name(store: Path) -> str:
    stem = datetime.datetime.now().astimezone().strftime("%Y%m%d-%H%M%S")
    names = [stem, *(f"{stem}-{number:02d}" for number in range(2, 100))]
    return next(name for name in names if not (store / name).exists())


def write_json(path: Path, data: Any) -> None:
    """Write a value as indented JSON; NaN and infinity, which JSON lacks, become null."""
    write_text(path, json.dumps(jsonable(data), indent=2) + "\n")


def jsonable(data: Any) -> Any:
    """Replace NaN and infinities by None, all the way down."""
    if isinstance(data, dict):
        return {key: jsonable(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [jsonable(value) for value in data]
    if isinstance(data, float) and not math.isfinite(data):
        return None
    return data
