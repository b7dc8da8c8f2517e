"""Write the package's tree, a line a module from its docstring, into docs/architecture.md.

python -m benchmarks.pages.architecture
"""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
START, END = "<!-- tree: ", "<!-- /tree -->"


def first_line(path: Path) -> str:
    """Give the first line of a module's docstring."""
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return text.partition("\n")[0]


def layers() -> list[str]:
    """Name the stages from the lowest to the highest."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        contract = tomllib.load(file)["tool"]["importlinter"]["contracts"][0]
    names = [name.strip() for row in reversed(contract["layers"]) for name in row.split("|")]
    return [name.removeprefix("capfix_cli.") for name in names]


def tree() -> str:
    """List every stage and module, the lowest stage first."""
    lines = []
    for stage in layers():
        folder = ROOT / "capfix_cli" / stage
        if not folder.is_dir():
            lines.append(f"- **`{stage}.py`** {first_line(folder.with_suffix('.py'))}")
            continue
        lines.append(f"- **`{stage}/`** {first_line(folder / '__init__.py')}")
        for path in sorted(folder.rglob("*.py")):
            if path.name == "__init__.py":
                continue
            lines.append(f"  - `{path.relative_to(folder).as_posix()}` {first_line(path)}")
    return "\n".join(lines)


def with_tree(text: str) -> str:
    """Put the tree of now into the document."""
    head, _, rest = text.partition(START)
    marker = rest.partition("\n")[0]
    tail = text.partition(END)[2]
    return f"{head}{START}{marker}\n\n{tree()}\n\n{END}{tail}"


if __name__ == "__main__":
    page = ROOT / "docs" / "architecture.md"
    page.write_text(with_tree(page.read_text(encoding="utf-8")), encoding="utf-8")
