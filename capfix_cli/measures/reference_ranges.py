"""Corridors: what healthy captioners and people reach at the same number of captions.

The numbers are in ``reference_ranges.json`` beside this module;
``benchmarks/calibration/corridors.py`` writes them from published outputs. A measure of N captions
is compared with the corridor at N, straight lines in log N between the sizes that were measured.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np

from capfix_cli.schemas.measured_values import Measure

SCHEMA = "capfix.corridors/1"
COMPARED_PREFIXES = (
    "self_bleu",
    "pairwise_bleu",
    "self_repetition",
)  # 1 says that captions are all the same
SHARES = ("distinct", "caption_entropy", "top_", "self_", "pairwise_", "repeats", "vendi_share")
MOST = 1045  # captions of the largest published output behind the last size
OF_STYLE = ("length", "repeats")  # a captioner's own choice, whatever there is to hear


@dataclass(frozen=True)
class Corridor:
    """The range of a measure at a number of captions.

    Attributes:
        low: of healthy captioners and people.
        high: of the same.
        people_low: of people alone.
        people_high: of the same.
        source: in words.
    """

    low: float
    high: float
    people_low: float
    people_high: float
    source: str


@cache
def published() -> dict[str, Any]:
    """Read the shipped numbers."""
    text = (
        files("capfix_cli.measures").joinpath("reference_ranges.json").read_text(encoding="utf-8")
    )
    data: dict[str, Any] = json.loads(text)
    return data


def corridor(name: str, clips: int) -> Corridor | None:
    """Give a measure's corridor at ``clips`` captions; None where none is known."""
    data = published()
    row = data["measures"].get(name)
    if row is None or clips > MOST:
        return None
    sizes = data["sizes"]
    low, high, people_low, people_high = (
        float(np.interp(np.log(clips), np.log(sizes), [pair[side] for pair in row[group]]))
        for group in ("healthy", "people")
        for side in (0, 1)
    )
    source = f"published captioners and people at N={clips}"
    if clips < sizes[0]:
        source = f"published captioners and people at N={sizes[0]}, the fewest that is known"
    return Corridor(low, high, people_low, people_high, source)


def rescaled(name: str, here: Corridor, own: float) -> Corridor:
    """Move a corridor to a domain in which people themselves reach ``own``.

    A closed world of few sentences is no collapse: what is asked is the same part of what people
    reach. For measures that are 1 where all captions are the same, it is the part of 1 - value.
    """
    alike = name.startswith(COMPARED_PREFIXES)
    middle = (here.people_low + here.people_high) / 2
    usual, reached = (1 - middle, 1 - own) if alike else (middle, own)
    if usual <= 0:
        return here
    factor = max(0.0, reached / usual)

    def move(value: float) -> float:
        moved = 1 - (1 - value) * factor if alike else value * factor
        return min(1.0, max(0.0, moved)) if name.startswith(SHARES) else moved

    low, high = sorted((move(here.low), move(here.high)))
    people_low, people_high = sorted((move(here.people_low), move(here.people_high)))
    return Corridor(
        low, high, people_low, people_high, f"{here.source}, rescaled to the references"
    )


def with_corridors(
    measures: Mapping[str, Measure], clips: int, people: Mapping[str, Measure] | None = None
) -> dict[str, Measure]:
    """Fill in each measure's healthy range.

    Args:
        measures: of the captions.
        clips: how many there are.
        people: the same measures of one reference a clip, of as many clips; the corridors are
            rescaled to them.
    """
    table = {}
    for name, measure in measures.items():
        found = corridor(name, clips)
        if found is not None and people is not None and name in people and name not in OF_STYLE:
            found = rescaled(name, found, people[name].value)
        if found is None:
            table[name] = measure
            continue
        source = "; ".join(part for part in (measure.source, found.source) if part)
        table[name] = replace(
            measure, healthy_low=found.low, healthy_high=found.high, source=source
        )
    return table
