"""What asking a captioner that gives text alone came to: calls, and what they showed."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class AskedProbe:
    """One experiment on a captioner that was only asked.

    Attributes:
        name: of the experiment.
        what: was measured, in words.
        value: a share of clips.
        low: lower end of its 95 % interval.
        high: upper end.
        clips: that were asked about.
    """

    name: str
    what: str
    value: float
    low: float
    high: float
    clips: int


@dataclass(frozen=True)
class Asked:
    """How a captioner that gives text alone was asked.

    Attributes:
        kind: ``function``, ``command``, ``endpoint`` or ``text`` (a TextCaptioner).
        source: its name, command line, or address without secrets.
        prompt: what it was told; None for its own.
        calls: that it answered, of this run.
        retries: calls that were made again.
        from_kept: answers that a run of before had been given.
        calls_a_clip: of this run, by the clips that have a caption.
        seconds: that asking took.
        sent: megabytes of audio that went to an endpoint; 0 for what runs here.
        left_out: parameters that an endpoint does not take.
        probes: experiments that were made.
        of_silence: what it says of silence; None where that was not asked.
        of_noise: what it says of noise.
    """

    kind: str
    source: str
    prompt: str | None
    calls: int
    retries: int
    from_kept: int
    calls_a_clip: float
    seconds: float
    sent: float = 0.0
    left_out: tuple[str, ...] = ()
    probes: tuple[AskedProbe, ...] = ()
    of_silence: str | None = None
    of_noise: tuple[str, ...] = ()
