"""What the steps that are the same for every captioner look at, however it is asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from capfix_cli.diagnosis.verdict import Decision
from capfix_cli.fixes.setting_status import Mark
from capfix_cli.schemas.clip_records import ClipCaption
from capfix_cli.schemas.diagnosis_record import AudioSummary, Cause, ModelSummary, Trial
from capfix_cli.schemas.measured_values import Listening, Measure


class HeardClips(Protocol):
    """The clips of a folder with their captions."""

    @property
    def audio(self) -> AudioSummary:
        """Summary of the folder."""

    @property
    def captions(self) -> tuple[ClipCaption, ...]:
        """Of every usable clip, by file name."""

    @property
    def digests(self) -> tuple[bytes, ...]:
        """Of every usable clip's samples."""


class JudgedCaptions(Protocol):
    """A captioner on a set of clips, judged: a model that is run, or one that is only asked."""

    @property
    def clips(self) -> HeardClips:
        """What it said."""

    @property
    def references(self) -> Mapping[str, Sequence[str]] | None:
        """Clip name -> references, or None."""

    @property
    def training(self) -> Sequence[Cause] | None:
        """Causes that its training data showed; None where they were not given."""

    @property
    def decision(self) -> Decision:
        """The verdict."""

    @property
    def listening(self) -> Listening | None:
        """How much the audio decides; None where that was not measured."""

    @property
    def listening_share(self) -> float:
        """Bits that decide, as a share of their ceiling."""

    @property
    def ill(self) -> bool:
        """Whether there is anything to explain."""

    @property
    def faint(self) -> bool:
        """Whether the audio decides less than it does in sound captioners."""


class TrialsMade(Protocol):
    """Ways of decoding that were tried."""

    @property
    def made(self) -> tuple[Trial, ...]:
        """Every trial so far."""

    def captions(self, trial: Trial) -> tuple[ClipCaption, ...]:
        """The captions that a trial gave."""


class Planned(JudgedCaptions, Protocol):
    """What a plan is made for."""

    @property
    def facts(self) -> Mapping[str, Any]:
        """What is known of the captioner beside its captions."""

    @property
    def marks(self) -> Mapping[str, Mark]:
        """What settings of training and training captions say of fixes."""

    @property
    def trials(self) -> TrialsMade:
        """Ways of decoding that were tried."""


class Recorded(Planned, Protocol):
    """What a record is made of."""

    @property
    def summary(self) -> ModelSummary:
        """Of what was diagnosed."""

    @property
    def measures(self) -> dict[str, Measure]:
        """Of all its captions."""

    @property
    def seed(self) -> int:
        """Of everything that was drawn."""


class Outcome(Protocol):
    """Captions of another way of asking or decoding, judged."""

    @property
    def captions(self) -> tuple[ClipCaption, ...]:
        """One a clip."""

    @property
    def measures(self) -> dict[str, Measure]:
        """Of these captions."""

    @property
    def listening(self) -> Listening | None:
        """Of them; None where it was not measured."""

    @property
    def decision(self) -> Decision:
        """The verdict on them."""
