"""How a rewrite is written: a head that says what it is, numbers with their origin, then code."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from string import Template

from capfix_cli.core.errors import CapfixError
from capfix_cli.fixes.rewrites.architecture_names import ArchitectureNames, Size

WIDTH = 96  # letters of a comment


@dataclass(frozen=True)
class Written:
    """Code, what to check afterwards, and the names in it that are to be filled in."""

    code: str
    checks: tuple[str, ...]
    to_fill_in: tuple[str, ...]


def write(
    fix_id: str,
    found: ArchitectureNames,
    *,
    where: str,
    numbers: Mapping[str, Size],
    template: str,
    words: Mapping[str, str],
    checks: tuple[str, ...],
    constants: str = "",
) -> Written:
    """Put names and numbers into a template.

    Args:
        fix_id: for the head.
        found: the model.
        where: a sentence that says where the code belongs.
        numbers: constant -> size; one without a value is written as ``None`` and asserted.
        template: code with ``$names``.
        words: what stands for the names.
        checks: see :class:`Written`.
        constants: more of them, as lines of code.
    """
    open_ones = tuple(name for name, size in numbers.items() if size.value is None)
    lines = [f"{name} = {size.value}  # {one_line(size.why)}" for name, size in numbers.items()]
    if open_ones:
        named = ", ".join(open_ones)
        lines.append(f'assert None not in ({named},), "fill in {named} above"')
    head = comment(f"Fix {fix_id} for {found.path}.") + comment(where)
    body = Template(template).substitute(words)
    imports = "import torch\nfrom torch import nn\n"
    numbered = "".join(f"{line}\n" for line in lines) + constants
    code = f"{head}{imports}\n{numbered}\n\n{body.strip()}\n"
    return Written(code, checks, open_ones)


def nothing_to_rewrite(fix_id: str, found: ArchitectureNames, why: str) -> CapfixError:
    """Say that a model has no place for a fix."""
    return CapfixError(
        f"Fix {fix_id} cannot be written for {found.path}: {why}.",
        f"`capfix fixes {fix_id}` shows it for a model of any make.",
    )


def comment(text: str) -> str:
    """Write text as comment lines."""
    wrapped = textwrap.wrap(one_line(text), WIDTH, break_on_hyphens=False)
    return "".join(f"# {line}\n" for line in wrapped)


def one_line(text: str) -> str:
    """Names and paths come from a file: none of them may end a comment."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)
