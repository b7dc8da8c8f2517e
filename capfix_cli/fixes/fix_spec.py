"""One row of the catalogue: what a fix does, when to use it, its settings and its price."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Impact = Literal["low", "low-medium", "medium", "medium-high", "high"]
IMPACTS: tuple[Impact, ...] = ("low", "low-medium", "medium", "medium-high", "high")

CATEGORY_TITLES: dict[int, str] = {
    1: "Decoding strategies",
    2: "Architecture",
    3: "Training techniques",
    4: "Data",
    5: "Regularisation",
}


@dataclass(frozen=True)
class FixSetting:
    """One number or choice of a fix.

    Attributes:
        name: as spelled in a ``generation_config.json``, a recipe or PyTorch.
        value: what capfix starts from.
        recommended: the recommended value or range.
        ranges: (range, what it does) pairs, in ascending order.
    """

    name: str
    value: str
    recommended: str
    ranges: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Fix:
    """One fix.

    Impact words are the document's own. Its star ratings came through OCR garbled, so where a
    fix has no words its summary table decides, read by the rows that have both: 3 stars are
    medium, 5 medium-high and 6 high. A fix with neither is rated by capfix, with a comment.

    Attributes:
        id: number in the document, ``category.position``; ours continue its numbering.
        title: its name.
        category: 1 to 5.
        category_title: the category's name.
        aliases: other names under which it is looked up, lower case.
        what: what it does.
        when: when to use it.
        settings: its numbers and choices.
        pros: what speaks for it.
        cons: what speaks against it.
        impact: how much it can change, one of ``IMPACTS``.
        effort: how long it takes or how much code it touches.
        retrain: whether the model must be trained again.
        priority: the step of the plan that it belongs to, 1 to 4.
        snippet: Python that runs as it stands, given torch.
        source: where it comes from.
        caution: what the document did not know, with its source.
    """

    id: str
    title: str
    category: int
    category_title: str
    aliases: tuple[str, ...]
    what: str
    when: str
    settings: tuple[FixSetting, ...]
    pros: tuple[str, ...]
    cons: tuple[str, ...]
    impact: Impact
    effort: str
    retrain: bool
    priority: int
    snippet: str
    source: str
    caution: str = ""
