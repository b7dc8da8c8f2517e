"""What every record is made of: a measure with its interval, listening, a piece of evidence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["healthy", "generic", "degenerate", "ungrounded", "collapsed"]
VERDICTS: tuple[Verdict, ...] = ("healthy", "generic", "degenerate", "ungrounded", "collapsed")


@dataclass(frozen=True)
class Measure:
    """A number computed from captions, with its 95 % interval and its healthy range.

    ``None`` for an end of an interval or of a range says that none is known.
    """

    value: float
    low: float | None = None
    high: float | None = None
    healthy_low: float | None = None
    healthy_high: float | None = None
    source: str = ""


@dataclass(frozen=True)
class Axis:
    """One axis of the verdict: its figure beside what is asked of it; more is better.

    Attributes:
        value: measured.
        low: lower end of its 95 % interval.
        high: upper end.
        threshold: from which the axis is fulfilled.
        source: where the threshold comes from.
        what: what was measured; in records of before the unit was apart, with it.
        unit: of the figures.
    """

    value: float
    low: float
    high: float
    threshold: float
    source: str = ""
    what: str = ""
    unit: str = ""

    @property
    def told(self) -> str:
        """What was measured, with its unit where that is no share."""
        unit = "" if self.unit.startswith("share") else self.unit
        return ", ".join(filter(None, (self.what, unit)))

    @property
    def fulfilled(self) -> bool:
        """Whether the figure reaches its threshold."""
        return self.value >= self.threshold

    @property
    def close(self) -> bool:
        """Whether the interval crosses the threshold: it may well be the other way."""
        return self.low < self.threshold <= self.high

    @property
    def evidence(self) -> Evidence:
        """The same as a row of evidence."""
        return Evidence(self.what, self.value, self.unit, self.threshold, self.source)


@dataclass(frozen=True)
class Listening:
    """How much the audio decides the captions (SCIENCE section 3).

    Attributes:
        bits: lower bound on the information a caption carries about its clip; never below 0.
        ceiling_bits: log2 of the contrast set's size, the most that ``bits`` can reach.
        low: lower end of the 95 % bootstrap interval of ``bits``.
        high: its upper end.
        identification: share of clips whose own audio scores their caption highest.
        chance: the identification of a deaf captioner, 1 / contrast set.
        reference_bits: the same bound on the references; None without references.
        reference_low: lower end of the interval of ``reference_bits``.
        reference_high: its upper end.
        clips: how many clips were scored.
        note: what a reader must know, such as a negative estimate shown as 0.
        raw_bits: the bound on own captions as the captioner itself weighs the clips; unbounded
            below for one that is surer than it is right.
        temperature: by which its scores were divided for ``bits``, fitted on the other half of
            the clips.
        auc: how often a caption scores higher on its own clip than on another, ties by half.
        reference_raw_bits: as ``raw_bits``, on references.
        reference_temperature: as ``temperature``, on references.
        reference_identification: as ``identification``, on references.
        reference_auc: as ``auc``, on references.
    """

    bits: float
    ceiling_bits: float
    low: float
    high: float
    identification: float
    chance: float
    reference_bits: float | None = None
    reference_low: float | None = None
    reference_high: float | None = None
    clips: int = 0
    note: str = ""
    raw_bits: float | None = None
    temperature: float | None = None
    auc: float | None = None
    reference_raw_bits: float | None = None
    reference_temperature: float | None = None
    reference_identification: float | None = None
    reference_auc: float | None = None

    @property
    def deciding_bits(self) -> float:
        """The bits that the verdict uses: the lower of own captions and references."""
        return self.bits if self.reference_bits is None else min(self.bits, self.reference_bits)

    @property
    def deciding_share(self) -> float:
        """The bits that the verdict uses, as a share of their ceiling."""
        return self.deciding_bits / self.ceiling_bits

    @property
    def own_share(self) -> float:
        """The bits on own captions, as a share of their ceiling."""
        return self.bits / self.ceiling_bits

    @property
    def deciding_interval(self) -> tuple[float, float]:
        """The 95 % interval that belongs to ``deciding_bits``."""
        if self.reference_bits is None or self.bits <= self.reference_bits:
            return self.low, self.high
        return self.reference_low or 0.0, self.reference_high or 0.0


@dataclass(frozen=True)
class Evidence:
    """One measured fact behind a statement.

    Attributes:
        name: what was measured, in words.
        value: what came out.
        unit: of ``value`` and ``threshold``; empty for words, and for numbers that have none.
        threshold: what the value is held against; None where nothing is.
        source: where the threshold, or else the value, comes from.
    """

    name: str
    value: int | float | str | bool | None
    unit: str = ""
    threshold: int | float | str | bool | None = None
    source: str = ""

    @property
    def after(self) -> str:
        """The unit as it is read after a figure: `` bits``, `` of clips``; said once."""
        unit = self.unit.removeprefix("share").strip()
        return f" {unit}" if unit and unit not in self.name else ""
