"""Modules fit in a few screens, functions in one; what is given by position is little."""

from __future__ import annotations

import ast
import statistics
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[3] / "capfix_cli"
MOST_MODULE_LINES = 400
MOST_FUNCTION_LINES = 60
MOST_MEDIAN_LINES = 12
MODULES = sorted(PACKAGE.rglob("*.py"))


def functions(text: str) -> list[tuple[str, int]]:
    """Every function of a module, nested ones too, by its lines from ``def`` to its end."""
    return [
        (node.name, (node.end_lineno or 0) - node.lineno + 1)
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]


def test_no_module_is_long():
    assert len(MODULES) > 200
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES}
    long = {str(path): lines for path, lines in lengths.items() if lines > MOST_MODULE_LINES}
    assert long == {}


def test_no_function_is_long_and_most_are_short():
    found = [
        (f"{path.relative_to(PACKAGE)}:{name}", lines)
        for path in MODULES
        for name, lines in functions(path.read_text(encoding="utf-8"))
    ]
    assert len(found) > 1_000
    assert [(name, lines) for name, lines in found if lines > MOST_FUNCTION_LINES] == []
    assert statistics.median(lines for _, lines in found) <= MOST_MEDIAN_LINES


def test_lines_of_functions_are_counted():
    inner = "    def inner(self):\n        return 1\n"
    text = f"class A:\n{inner}\nasync def outer(\n    a,\n):\n    return a\n"
    assert sorted(functions(text)) == [("inner", 2), ("outer", 4)]


@pytest.mark.parametrize(
    ("place", "refused"), [("training/later.py", True), ("cli/later_command.py", False)]
)
def test_arguments_by_position_are_few(place, refused, tmp_path):
    pytest.importorskip("ruff")
    given = ", ".join(f"{name}: int" for name in "abcdef")
    text = f'"""Text."""\n\n\ndef function({given}) -> None:\n    """Text."""\n'
    (tmp_path / "pyproject.toml").write_bytes((PACKAGE.parent / "pyproject.toml").read_bytes())
    path = tmp_path / "capfix_cli" / place
    path.parent.mkdir(parents=True)
    path.write_text(text, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--no-cache", "."],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ("Too many positional arguments (6 > 5)" in done.stdout) is refused, (
        done.stdout + done.stderr
    )
    assert done.returncode == int(refused)


def test_only_commands_and_tests_may_take_more_by_position():
    with (PACKAGE.parent / "pyproject.toml").open("rb") as file:
        lint = tomllib.load(file)["tool"]["ruff"]["lint"]
    ignoring = {place for place, rules in lint["per-file-ignores"].items() if "PLR0917" in rules}
    assert ignoring == {"capfix_cli/cli/*", "tests/*"}
    assert "PLR0917" not in lint["ignore"]
