"""Write every cause's section into docs/causes.md, from the records that find and mend them.

python -m benchmarks.pages.cause_docs
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from pathlib import Path

from capfix_cli.diagnosis.causes import discover
from capfix_cli.diagnosis.causes.cause_spec import STAGES, CauseSpec

PAGE = Path(__file__).parents[2] / "docs" / "causes.md"
START, END = "<!-- causes: ", "<!-- /causes -->"
MARKER = f"{START}written by python -m benchmarks.pages.cause_docs -->"


def section(spec: CauseSpec) -> str:
    """Give one cause's section, a bullet a part."""
    docs = spec.docs
    parts = {
        "Symptom": docs.symptom,
        "Experiment": docs.experiment,
        "Read": docs.read,
        "Mend": docs.mend,
        "Proof": _proof(spec),
        "Sources": docs.sources,
    }
    lines = [f"### {spec.id}"]
    for name, text in parts.items():
        if text:
            bullet = f"- **{name}**: {text}"
            lines.append(textwrap.fill(bullet, 105, subsequent_indent="  ", break_on_hyphens=False))
    return "\n".join(lines)


def _proof(spec: CauseSpec) -> str:
    """Say when a finding is proved, from the fields that decide it."""
    if spec.id == "decoding.search":
        return "a decoding that works."
    if spec.repair is not None:
        told = "its mend, applied and measured, restores most of what is missing"
        return f"{told}; or the test itself, where its evidence is certain."
    if spec.located:
        return (
            "the test says where audio or words are lost. It counts as proved where the training "
            "pairs are known to fit (`--train-captions` and `--train-audio`), the features fit "
            "what BatchNorm remembers, and no fault before it is suspected."
        )
    return "the test itself: only this cause fails it."


def sections(specs: Iterable[CauseSpec]) -> str:
    """Give all sections, a heading a stage, along the path of the audio."""
    listed = list(specs)
    stages = [*STAGES, *sorted({spec.stage for spec in listed} - set(STAGES))]
    parts = []
    for stage in stages:
        found = [section(spec) for spec in listed if spec.stage == stage]
        if found:
            parts += [f"## {stage.capitalize()}", *found]
    return "\n\n".join(parts)


def with_causes(text: str) -> str:
    """Put the sections of now into the page."""
    head, _, rest = text.partition(START)
    return f"{head}{MARKER}\n\n{sections(discover().values())}\n\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    PAGE.write_text(with_causes(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
