"""What a retraining proves, and what a reader must know of it, in words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from capfix_cli.diagnosis.verdict import audio_decides
from capfix_cli.schemas.diagnosis_record import Diagnosis
from capfix_cli.schemas.measured_values import Listening
from capfix_cli.training.training_run import TrainingOutcome

SHOWN = 3  # of the files that were left out


def conclude(before: Diagnosis | None, after: Diagnosis, control: Diagnosis | None) -> str:
    """Say what before, after and control prove together; a recipe that ships has no before."""
    if after.listening is None:
        return "The retrained captioner cannot be judged: its numbers are not finite."
    if before is None:
        bits = _bits(after.listening)
        change = f"the captioner is {after.verdict}, with {bits:.2f} bits of listening"
    else:
        old, new = _bits(before.listening), _bits(after.listening)
        change = f"listening went from {old:.2f} to {new:.2f} bits, the verdict from"
        change += f" {before.verdict} to {after.verdict}"
    if not audio_decides(after.listening):
        return f"The recipe did not repair it: {change}. Go on with priority 3."
    if control is None or control.listening is None:
        return f"The recipe repaired it: {change}. Without a control, longer training alone may do."
    plain = _bits(control.listening)
    low, high = after.listening.deciding_interval
    if control.listening.deciding_interval[1] < low:
        partly = audio_decides(control.listening)
        return (
            f"The recipe repaired it: {change}. The same budget without the fixes reached"
            f" {plain:.2f} bits"
            + (
                ": longer training did part of it, the fixes the rest."
                if partly
                else ", so the fixes matter, not the longer training."
            )
        )
    if control.listening.deciding_interval[0] > high:
        return (
            f"Training longer is the cure: without the fixes the same budget reached {plain:.2f}"
            f" bits, with them {_bits(after.listening):.2f}. Keep the architecture and train it"
            " longer."
        )
    return (
        f"It is repaired ({change}), but longer training alone reached {plain:.2f} bits, the same"
        " within the intervals: training longer is the cure, the fixes are not needed for it."
    )


def _bits(listening: Listening | None) -> float:
    return listening.deciding_bits if listening is not None else 0.0


def notes_of(outcomes: Sequence[TrainingOutcome], audio: str | None, test: str) -> tuple[str, ...]:
    """Say what a reader must know of the data, each kind counted and its first ones named."""
    clips = outcomes[-1].clips
    notes = [note for outcome in outcomes for note in outcome.notes]
    if audio and Path(audio).resolve() == Path(test).resolve():
        notes.append("It was tested on the clips it was trained on: the figures flatter it.")
    if clips.unmatched:
        notes.append(f"{_named(clips.unmatched)} no caption and were left out (training files).")
    if clips.absent:
        notes.append(f"{_named(clips.absent)} captions but no audio and were left out.")
    if clips.skipped:
        first = clips.skipped[0]
        count = len(clips.skipped)
        notes.append(f"{count} training files were skipped ({first.path}: {first.reason}).")
    if clips.rejected:
        first_rejected = clips.rejected[0].caption
        notes.append(f"{len(clips.rejected)} generic captions were left out ({first_rejected!r}).")
    if clips.cached is not None:
        folder, size = clips.cached
        notes.append(f"Features are kept in {folder} ({size / 2**20:.1f} MB); remove it at will.")
    return tuple(notes)


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{len(names)} clips ({', '.join(names[:SHOWN])}{more}) have"
