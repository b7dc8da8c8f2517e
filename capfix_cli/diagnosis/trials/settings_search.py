"""A search over decoding settings by successive halving (Jamieson and Talwalkar, arXiv 1502.07943).

All settings are tried on a few clips; the better third goes on to three times as many, until the
last few are tried on all. What listens most among those that are diverse and fluent enough comes
first; settings that are not come after all that are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from capfix_cli.fixes.fix_spec import DecodingFix
from capfix_cli.fixes.trial_ranking import merit
from capfix_cli.schemas.diagnosis_record import Trial

KEPT = 1 / 3  # of the settings go on from a rung
FEWEST_CLIPS = 24  # on the first rung: a contrast set and a little more

# (fix, clips) -> what came of it; clips counts those it is tried on.
Attempt = Callable[[DecodingFix, int], Trial]


@dataclass(frozen=True)
class Rung:
    """One round.

    Attributes:
        clips: on which every setting of the round is tried.
        settings: how many go in.
    """

    clips: int
    settings: int


def rungs(settings: int, clips: int) -> list[Rung]:
    """Plan the rounds: ever fewer settings on ever more clips, the last on all."""
    count = max(1, min(3, 1 + int(math.log(max(1.0, clips / FEWEST_CLIPS), 1 / KEPT))))
    plan = []
    for number in range(count):
        share = KEPT ** (count - 1 - number)
        left = max(1, math.ceil(settings * KEPT**number))
        plan.append(Rung(max(min(FEWEST_CLIPS, clips), round(clips * share)), left))
    return plan


def halve(fixes: Sequence[DecodingFix], clips: int, attempt: Attempt) -> list[Trial]:
    """Search; every setting comes back with what it reached on the most clips it was tried on.

    Args:
        fixes: settings, those of equal merit in the order in which they are preferred.
        clips: in all.
        attempt: tries one on so many clips.
    """
    found: dict[int, Trial] = {}
    running = list(range(len(fixes)))
    for rung in rungs(len(fixes), clips):
        running = running[: rung.settings]
        for number in running:
            found[number] = attempt(fixes[number], rung.clips)
        running.sort(key=lambda number: merit(found[number]), reverse=True)
    return [found[number] for number in range(len(fixes))]
