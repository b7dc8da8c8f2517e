"""The shape of the project: stages import only those above them, and start-up is light."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
HEAVY = ("torch", "torchaudio", "lightning", "numpy", "sklearn", "scipy")


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run import-linter on the package below ``folder`` with the project's contracts."""
    code = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    return subprocess.run(
        [sys.executable, "-c", code, "--config", str(ROOT / "pyproject.toml"), "--no-cache"],
        capture_output=True,
        text=True,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(folder)},
        check=False,
    )


def test_stages_import_only_those_below_them():
    done = lint_imports(ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


FORMS = (
    "from capfix_cli import api",
    "from capfix_cli import training",
    "from ..training import recipe",
    "from capfix_cli.training import recipe",
    "import capfix_cli.training.recipe",
)


def test_every_form_of_an_upward_import_is_refused(tmp_path):
    shutil.copytree(ROOT / "capfix_cli", tmp_path / "capfix_cli")
    module = tmp_path / "capfix_cli" / "measures" / "corpus.py"
    sound = module.read_text(encoding="utf-8")
    for form in FORMS:
        module.write_text(f"{sound}\n\ndef later():\n    {form}\n", encoding="utf-8")
        done = lint_imports(tmp_path)
        assert done.returncode == 1, form
        assert "capfix_cli.measures.corpus" in done.stdout, form


def test_every_package_is_under_a_rule():
    with (ROOT / "pyproject.toml").open("rb") as file:
        contract = tomllib.load(file)["tool"]["importlinter"]["contracts"][0]
    ruled = {name.strip() for layer in contract["layers"] for name in layer.split("|")}
    there = {
        f"capfix_cli.{path.stem}"
        for path in (ROOT / "capfix_cli").iterdir()
        if (path.suffix == ".py" or (path / "__init__.py").exists())
        and not path.name.startswith("__")
    }
    assert ruled == there


def test_no_module_name_occurs_twice():
    names = Counter(
        path.stem for path in (ROOT / "capfix_cli").rglob("*.py") if path.stem != "__init__"
    )
    assert len(names) > 200
    assert [name for name, count in names.items() if count > 1] == []


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


def test_pydantic_is_imported_only_where_a_record_is_read(tmp_path):
    """Newer Typers import it themselves to run a command; importing the commands must not."""
    code = (
        "import sys\nimport capfix_cli.cli.app\nimport capfix_cli.runs.run_store\n"
        "import capfix_cli.schemas.diagnosis_record\nprint('pydantic' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    assert done.stdout.strip() == "False"


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


def test_public_names_are_listed_and_importable():
    import capfix_cli

    public = set(capfix_cli.__all__)
    assert len(public) > 15
    assert public <= set(dir(capfix_cli))
    space: dict[str, object] = {}
    exec("from capfix_cli import *", space)
    assert public <= space.keys()
    assert all(value is not None for value in space.values())
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = capfix_cli.no_such_name


def test_the_tree_in_the_docs_is_the_tree():
    from benchmarks.pages.architecture import first_line, layers, with_tree

    page = ROOT / "docs" / "architecture.md"
    text = page.read_text(encoding="utf-8")
    assert len(layers()) > 15
    assert all(first_line(path) for path in (ROOT / "capfix_cli").rglob("*.py"))
    assert text == with_tree(text), "python -m benchmarks.pages.architecture"


def test_the_json_schemas_in_the_docs_are_those_of_the_code():
    from benchmarks.pages.schemas import FOLDER, RECORDS, text_of

    assert len(RECORDS) >= 8
    assert {path.stem for path in FOLDER.iterdir()} == set(RECORDS)
    for name in RECORDS:
        there = (FOLDER / f"{name}.json").read_text(encoding="utf-8")
        assert there == text_of(name), f"python -m benchmarks.pages.schemas ({name})"


def test_every_step_of_a_guide_names_what_is_there():
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    guides = text.partition("## Add a ...")[2]
    paths = re.findall(r"`([\w/]+\.(?:py|md)|[\w]+/[\w/]*/)`", guides)
    assert len(paths) > 25
    for path in paths:
        assert (ROOT / path).exists() or (ROOT / "capfix_cli" / path).exists(), path
