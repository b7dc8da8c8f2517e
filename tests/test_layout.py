"""The shape of the project: stages import only those above them, and start-up is light."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "capfix_cli"
STAGES = (
    *("captioners", "audio", "decoding", "measures", "probes"),
    *("diagnosis", "fixes", "recipes", "report"),
)
SHARED = {"records", "measured", "errors", "thresholds", "words", ""}  # "" is capfix_cli itself
HEAVY = ("torch", "torchaudio", "lightning", "numpy", "sklearn")


def imported_stages(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in names:
            if name.split(".")[0] == "capfix_cli":
                found.add(".".join(name.split(".")[1:2]))
    return found


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_imports_only_stages_above_it(stage):
    files = sorted((ROOT / stage).rglob("*.py"))
    assert len(files) >= 2
    allowed = SHARED | set(STAGES[: STAGES.index(stage) + 1])
    if stage == "report":
        allowed |= {"runs", "demo"}  # it shows what the store and the demo hold
    for path in files:
        assert imported_stages(path) <= allowed, path


def test_shared_records_import_nothing_of_the_project():
    for name in ("records", "errors", "thresholds", "words"):
        assert imported_stages(ROOT / f"{name}.py") == set()


@pytest.mark.parametrize("words", [["--help"], ["fixes"], ["fixes", "1.3"], ["recommend"]])
def test_start_up_is_light(words, tmp_path):
    code = (
        "import sys, json\nfrom capfix_cli.cli.app import main\n"
        f"sys.argv = ['capfix', *{words!r}]\n"
        "try:\n    main()\nexcept SystemExit as stop:\n    status = stop.code or 0\n"
        "print(json.dumps([status, sorted(m for m in sys.modules if '.' not in m)]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    status, modules = json.loads(done.stdout.splitlines()[-1])
    assert status == 0
    assert "typer" in modules
    assert not set(HEAVY) & set(modules)


def test_version_is_one(tmp_path):
    import capfix_cli

    done = subprocess.run(
        [sys.executable, "-m", "capfix_cli", "--version"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=True,
    )
    assert done.stdout.strip() == f"capfix {capfix_cli.__version__}"


def test_public_names_are_there():
    import capfix_cli

    assert capfix_cli.Captioner.__name__ == "Captioner"
    assert capfix_cli.CapfixError.__name__ == "CapfixError"
    with pytest.raises(AttributeError):
        _ = capfix_cli.nothing
