"""What a check of the training data hands back, and how a share becomes a confidence."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from capfix_cli.core.errors import CapfixError
from capfix_cli.schemas.diagnosis_record import Cause
from capfix_cli.schemas.measured_values import Evidence

Answer = Literal["ok", "suspect", "not-tested"]
SHOWN_ROWS = 20  # of each finding in a report; the whole list goes to a CSV
LOWEST, HIGHEST = 0.4, 0.95  # confidence where a cut is just passed, and where all is lost


@dataclass(frozen=True)
class ListedRow:
    """A row of the training file that a person should look at, and why."""

    file_name: str
    caption: str
    reason: str


@dataclass(frozen=True)
class DataFinding:
    """One check of the training data.

    Attributes:
        id: of the check; that of its cause where it has one.
        title: what was asked, in words.
        answer: ``not-tested`` where something was missing; ``needs`` then says what.
        evidence: what was measured, each against its threshold.
        rows: what a person should look at.
        listed: how many such rows there are; more than ``rows`` where these were cut short.
        needs: what the check is missing, in words.
        summary: what was found, in one sentence; empty where all is well.
    """

    id: str
    title: str
    answer: Answer
    evidence: tuple[Evidence, ...] = ()
    rows: tuple[ListedRow, ...] = ()
    listed: int = 0
    needs: str = ""
    summary: str = ""


@dataclass(frozen=True)
class TrainingData:
    """All checks of a training file.

    Attributes:
        path: of the captions file.
        clips: in it.
        captions: in it.
        causes: those that the findings support, the likeliest first.
        findings: one a check.
        notes: how the file was read.
    """

    path: str
    clips: int
    captions: int
    causes: tuple[Cause, ...]
    findings: tuple[DataFinding, ...]
    notes: tuple[str, ...] = ()

    @property
    def pairs_fit(self) -> bool | None:
        """Whether captions belong to their own clips; None where that could not be told."""
        told = {"data.shifted-pairs", "data.shuffled-pairs"}
        answers = [f.answer for f in self.findings if f.id in told and f.answer != "not-tested"]
        return answers[0] == "ok" if answers else None

    def shortened(self, most: int = SHOWN_ROWS) -> TrainingData:
        """Give the same with at most so many rows a finding, for a report."""
        findings = tuple(dataclasses.replace(f, rows=f.rows[:most]) for f in self.findings)
        return dataclasses.replace(self, findings=findings)


Examined = tuple[DataFinding, tuple[Cause, ...]]


def found(
    id_: str,
    title: str,
    *,
    suspect: bool,
    evidence: Sequence[Evidence],
    rows: Sequence[ListedRow],
    summary: str = "",
) -> DataFinding:
    """Make a finding of a check that was made; the summary is kept where it is suspect."""
    listed = tuple(rows)
    answer: Answer = "suspect" if suspect else "ok"
    said = summary if suspect else ""
    return DataFinding(id_, title, answer, tuple(evidence), listed, len(listed), summary=said)


def not_tested(id_: str, title: str, needs: str, evidence: Sequence[Evidence] = ()) -> DataFinding:
    """Make a finding of a check that could not be made."""
    return DataFinding(id_, title, "not-tested", tuple(evidence), needs=needs)


def data_cause(id_: str, confidence: float, evidence: Sequence[Evidence]) -> Cause:
    """Make a cause; its stage is the first half of its id."""
    return Cause(id_, id_.partition(".")[0], round(confidence, 3), tuple(evidence))


def confidence(value: float, cut: float, worst: float) -> float:
    """Turn how far a figure lies beyond its cut into a confidence, evenly up to the worst.

    >>> confidence(0.5, 0.5, 1.0), confidence(1.0, 0.5, 1.0), confidence(0.2, 0.9, 0.2)
    (0.4, 0.95, 0.95)
    """
    way = min(1.0, max(0.0, (value - cut) / (worst - cut)))
    return LOWEST + (HIGHEST - LOWEST) * way


def write_rows(data: TrainingData, path: str | Path) -> int:
    """Write every listed row as CSV: check, file_name, caption, reason; give their number.

    Raises:
        CapfixError: the file is there already or cannot be written.
    """
    try:
        with Path(path).open("x", encoding="utf-8", errors="surrogateescape", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["check", "file_name", "caption", "reason"])
            rows = [
                (finding.id, row.file_name, row.caption, row.reason)
                for finding in data.findings
                for row in finding.rows
            ]
            writer.writerows(rows)
    except FileExistsError as error:
        raise CapfixError(f"{path} is there already.", "Name another file.") from error
    except OSError as error:
        raise CapfixError(
            f"{path} cannot be written: {error.strerror or error}.", "Name a file of yours."
        ) from error
    return len(rows)
