"""Which of several trials is best: those that work first, then those that listen more."""

from __future__ import annotations

from collections.abc import Sequence

from capfix_cli.schemas.diagnosis_record import Trial


def merit(trial: Trial) -> tuple[bool, float]:
    """Rank by whether it works at all, then by how much the audio decides."""
    listening = trial.listening
    return (
        trial.kept or trial.outcome == "outrun",
        0.0 if listening is None else listening.deciding_share,
    )


def best_trial(trials: Sequence[Trial]) -> Trial | None:
    """Choose the kept decoding that listens most; the earlier of equals."""
    kept = [trial for trial in trials if trial.kept]
    return max(kept, key=merit, default=None)


def pareto_front(trials: Sequence[Trial]) -> set[str]:
    """Name the trials that no other beats in both diversity and listening.

    Listening is taken as a share of its ceiling, so that trials on fewer clips can be compared.
    """

    def place(trial: Trial) -> tuple[float, float]:
        return trial.measures["distinct_captions"].value, merit(trial)[1]

    front = set()
    for trial in trials:
        own = place(trial)
        beaten = any(
            other >= own and other != own
            for other in map(place, trials)
            if other[0] >= own[0] and other[1] >= own[1]
        )
        if not beaten:
            front.add(trial.name)
    return front
