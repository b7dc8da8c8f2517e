"""Shifted pairs: do captions fit a neighbouring row's clip better than their own?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from capfix_cli.core.thresholds import (
    MIN_SHIFT_ROWS,
    SHIFT_SIGMA,
    SHUFFLED_NAMES,
    SHUFFLED_NAMES_SHARE,
)
from capfix_cli.diagnosis.training_data.data_findings import (
    Examined,
    ListedRow,
    data_cause,
    found,
    not_tested,
)
from capfix_cli.diagnosis.training_data.shift_fits import (
    fits_of_names,
    fits_of_predictions,
    fits_of_scores,
    fits_of_sound,
    stems_of_each,
)
from capfix_cli.diagnosis.training_data.shift_tests import Floats, Shift, judge_fits
from capfix_cli.diagnosis.training_data.sound_prints import SoundPrints
from capfix_cli.diagnosis.training_data.training_file import TrainingSet
from capfix_cli.schemas.measured_values import Evidence

ID = "data.shifted-pairs"
TITLE = "Do captions belong to their own row's clip?"
NEEDS = (
    "the training audio (--train-audio), file names that say what is heard, or captions that a "
    "sound captioner predicted for the training clips"
)
NO_FIT = (
    "captions that a sound captioner predicted for the training clips: nothing else fits its own "
    "caption better than chance, nor those beside it; pairs may be shuffled altogether, or clips "
    "too alike to tell"
)
SHUFFLED_ID = "data.shuffled-pairs"
SHUFFLED_TITLE = "Do captions belong to any clip near them?"
SHUFFLED = 0.5  # ours: names that fit no caption may also be fanciful


@dataclass(frozen=True)
class Witnesses:
    """What can tell whether captions are in their own rows, beside the file names.

    Attributes:
        prints: what the clips sound like.
        listed_as: name in the folder -> name in the training file.
        predicted: name in the training file -> caption that a captioner gave the clip.
        scores: [rows, rows] log-probabilities of the caption of row j given the audio of row i,
            over all rows of the file.
        judged: what the sound of the clips that were captioned says of their own references, which
            shows what it says of pairs that belong together; None without references.
    """

    prints: SoundPrints | None = None
    listed_as: Mapping[str, str] | None = None
    predicted: Mapping[str, str] | None = None
    scores: Floats | None = None
    judged: Shift | None = None


def find_shift(data: TrainingSet, witnesses: Witnesses, seed: int = 0) -> Examined:
    """Ask every witness there is; the one that is surest of a shift decides.

    A file alone cannot tell: its captions are as likely in any order.
    """
    judged = _ask(data, witnesses, seed)
    evidence = tuple(row for shift, _ in judged for row in shift.evidence)
    off = [(shift, names) for shift, names in judged if shift.answer == "shifted"]
    if off:
        shift, names = max(off, key=lambda pair: pair[0].rows / len(pair[1]))
        return _shifted(data, shift, names, evidence)
    if any(shift.answer == "own" for shift, _ in judged):
        return found(ID, TITLE, suspect=False, evidence=evidence, rows=()), ()
    by_name = judged[0][0]
    telling = by_name.telling
    enough = max(SHUFFLED_NAMES.value, SHUFFLED_NAMES_SHARE.value * len(data.names))
    if by_name.answer == "none" and telling >= enough:
        evidence += (
            Evidence(
                "rows whose file name has words of the captions, yet not of its own",
                telling,
                "rows",
                enough,
                SHUFFLED_NAMES.source,
            ),
        )
        said = f"{telling} file names say what is heard, and none fits its own captions"
        return found(ID, TITLE, suspect=True, evidence=evidence, rows=(), summary=said), (
            data_cause(ID, SHUFFLED, evidence),
        )
    by_sound = next((s for s, _ in judged if s.what == "sound"), None)
    if by_sound is not None and witnesses.judged is not None:
        apart = _shuffled(by_sound, witnesses.judged)
        if apart:
            evidence += apart
            said = "no row's clip fits its own caption, though the judged clips fit theirs"
            check = found(
                SHUFFLED_ID, SHUFFLED_TITLE, suspect=True, evidence=evidence, rows=(), summary=said
            )
            return check, (data_cause(SHUFFLED_ID, 0.9, evidence),)
    asked_all = witnesses.prints is not None and any(s.answer == "none" for s, _ in judged)
    return not_tested(ID, TITLE, NO_FIT if asked_all else NEEDS, evidence), ()


def _shuffled(training: Shift, judged: Shift) -> tuple[Evidence, ...]:
    """Say that pairs are shuffled, where sound tells of other pairs and not at all of these.

    The standard errors grow with the root of the rows: what the judged clips reach says what as
    many rows as the training file has would reach if their pairs belonged together.
    """
    if judged.answer != "own" or training.answer != "none":
        return ()
    expected = judged.sigma * math.sqrt(training.telling / judged.telling)
    # Of a sum of independent rows, whose standard error is one whatever its mean.
    if training.sigma > expected - SHIFT_SIGMA.value:
        return ()
    return (
        Evidence(
            "sound: by how much the judged clips' references fit their own clip better than chance",
            round(judged.sigma, 2),
            SHIFT_SIGMA.unit,
            SHIFT_SIGMA.value,
            SHIFT_SIGMA.source,
        ),
        Evidence(
            "what that comes to over the rows of the training file, if their pairs fit",
            round(expected, 2),
            SHIFT_SIGMA.unit,
        ),
        Evidence(
            "what the training file's own pairs reach", round(training.sigma, 2), SHIFT_SIGMA.unit
        ),
    )


def judge_references(
    prints: SoundPrints, references: Mapping[str, Sequence[str]], seed: int = 0
) -> Shift | None:
    """Ask the sound of judged clips whether their references fit them; None for too few clips.

    Args:
        prints: of the clips.
        references: clip name -> references.
        seed: of the rows elsewhere.
    """
    rows = [row for row, name in enumerate(prints.names) if references.get(name)]
    if len(rows) < MIN_SHIFT_ROWS.value:
        return None
    texts = stems_of_each([list(references[prints.names[row]]) for row in rows])
    return judge_fits(*fits_of_sound(prints.colour[rows], texts, seed), "sound")


def _ask(data: TrainingSet, witnesses: Witnesses, seed: int) -> list[tuple[Shift, tuple[str, ...]]]:
    """Give each witness's word, file names first, and the rows that it speaks of."""
    names, captions = data.names, data.captions
    asked = [(judge_fits(*fits_of_names(names, captions, seed), "file names"), names)]
    if witnesses.predicted:
        fits = fits_of_predictions(names, captions, witnesses.predicted, seed)
        asked.append((judge_fits(*fits, "predicted captions"), names))
    if witnesses.scores is not None:
        asked.append((judge_fits(*fits_of_scores(witnesses.scores), "captioner's scores"), names))
    prints = witnesses.prints
    if prints is not None and len(prints.names) > 1:
        listed = witnesses.listed_as or {}
        heard = tuple(listed.get(name, name) for name in prints.names)
        texts = dict(zip(names, captions, strict=True))
        fits = fits_of_sound(prints.colour, stems_of_each([texts[name] for name in heard]), seed)
        asked.append((judge_fits(*fits, "sound"), heard))
    return asked


def _shifted(
    data: TrainingSet, shift: Shift, names: tuple[str, ...], evidence: tuple[Evidence, ...]
) -> Examined:
    texts = dict(zip(data.names, data.captions, strict=True))
    place = f"{abs(shift.offset)} row{'s'[: abs(shift.offset) > 1]}"
    where = "below" if shift.offset > 0 else "above"
    rows = []
    for row in range(shift.first, shift.last + 1):
        other = row + shift.offset
        if 0 <= other < len(names):
            reason = f"the caption {place} {where} fits better: {texts[names[other]][0]}"
            rows.append(ListedRow(names[row], texts[names[row]][0], reason))
    share = shift.rows / len(names)
    cause = data_cause(ID, 0.6 + 0.35 * min(1.0, 2 * share), evidence)
    said = (
        f"in rows {shift.first + 1} to {shift.last + 1} of {len(names)} the captions {place}"
        f" {where} fit the clips better than their own"
    )
    return found(ID, TITLE, suspect=True, evidence=evidence, rows=rows, summary=said), (cause,)
