"""A repair without training: it wraps a captioner and gives another, tried as decodings are."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

from capfix_cli.captioners.base import Captioner
from capfix_cli.diagnosis.diagnosis_context import DiagnosisContext


@dataclass(frozen=True)
class Repair:
    """One repair, ready to be tried.

    Attributes:
        cause: that it mends.
        name: in words.
        line: the line to change in one's own code.
        captioner: the repaired one.
        one_by_one: encode clips alone, so that nothing is padded.
        searched: names of the clips that it was chosen among others by: it is judged on others.
        applied: to be entered while it is tried; weights are put back afterwards.
    """

    cause: str
    name: str
    line: str
    captioner: Captioner
    one_by_one: bool = False
    searched: Collection[str] = ()
    applied: Callable[[], contextlib.AbstractContextManager[None]] = contextlib.nullcontext


def one_by_one(cause: str) -> Callable[[DiagnosisContext, str], Iterator[Repair]]:
    """Make the repair that encodes clips alone, against a cause."""

    def make(case: DiagnosisContext, checkpoint: str) -> Iterator[Repair]:
        yield Repair(
            cause,
            "clips one by one, nothing padded",
            "encode one clip at a time (--batch-size 1)",
            case.captioner,
            one_by_one=True,
        )

    return make
