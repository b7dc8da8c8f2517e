"""The contract between capfix and a captioner that gives text alone."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import soundfile
from torch import Tensor

from capfix_cli.core.errors import CapfixError

# Under which a dict of an answer holds the caption: pipelines of transformers and usual scripts.
TEXT_KEYS = ("caption", "caption_predicted", "generated_text", "text", "prediction", "answer")


@dataclass(frozen=True)
class GivenClip:
    """One clip as a captioner is given it.

    Attributes:
        name: of the clip, for whoever reads an error.
        samples: [samples] float32 mono in [-1, 1].
        rate: Hz.
        digest: of the samples; a copy that was altered has another.
        path: the file itself; None for a copy that was altered or is to be under another name.
    """

    name: str
    samples: Tensor
    rate: int
    digest: str
    path: Path | None = None

    def wav(self) -> bytes:
        """Give the clip as the bytes of a WAV file, 16 bits, mono."""
        file = io.BytesIO()
        samples = self.samples.clamp(-1.0, 1.0).numpy()
        soundfile.write(file, samples, self.rate, format="WAV", subtype="PCM_16")
        return file.getvalue()


@dataclass(frozen=True)
class Wish:
    """How a caption is asked for.

    Attributes:
        prompt: what the captioner is told; None leaves its own.
        decoding: options that differ from greedy decoding, in the spelling of a
            ``generation_config.json``; those that the captioner takes only.
        seed: of draws, where it samples.
    """

    prompt: str | None = None
    decoding: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0


PLAIN = Wish()


@dataclass(frozen=True)
class TextAnswer:
    """One caption as it was given.

    Attributes:
        text: the caption; may be empty.
        ended: whether it came to its end; None where the captioner does not say.
        logprob: natural-log probability of its tokens; None where they are not given.
        tokens: how many these are; 0 where they are not given.
    """

    text: str
    ended: bool | None = None
    logprob: float | None = None
    tokens: int = 0


class CallFailed(Exception):  # noqa: N818 - it is told of a clip, not raised at the user
    """One call that gave no captions.

    Attributes:
        reason: in words.
        hint: what to do about it.
        again: whether the same call may well succeed later.
        busy: whether whoever is called said that it was too busy, so that it is there.
        slow: whether time ran out, which another try may cost again.
        after: seconds to wait before, where the other side says so.
    """

    def __init__(
        self,
        reason: str,
        hint: str = "",
        *,
        again: bool = False,
        busy: bool = False,
        slow: bool = False,
        after: float | None = None,
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.hint = hint
        self.again = again
        self.busy = busy
        self.slow = slow
        self.after = after


class TextCaptioner:
    """Anything that turns audio into text and shows nothing else.

    Subclass it and give :meth:`caption`; ``capfix_cli.diagnose(captioner, "clips/", settings)``
    takes an instance, and ``--caption-function my_module:MyCaptioner`` the class.

    Attributes:
        sample_rate: Hz of the waveforms that :meth:`caption` is given; capfix resamples.
        clips_a_call: most clips that one call is given.
    """

    sample_rate: int = 16_000
    clips_a_call: int = 1
    # What only the classes of capfix itself set: how they are asked.
    by_file: bool = False  # clips are handed on as files, at their own rate
    parallel: bool = False  # several calls may run at once
    takes_prompt: bool = False
    takes_decoding: frozenset[str] = frozenset()
    keeps: bool = False  # answers of runs that are done serve later ones

    def caption(self, waveforms: Sequence[Tensor], sample_rate: int) -> list[str]:
        """Caption clips (must be given).

        Args:
            waveforms: one a clip, each [samples] float32 mono in [-1, 1] on the CPU, of its own
                length and not padded.
            sample_rate: of all of them, in Hz: :attr:`sample_rate`.

        Returns:
            One text a clip, in the same order; an empty one where there is nothing to say.
        """
        raise NotImplementedError(f"{type(self).__name__} must define caption()")

    def answer(self, clips: Sequence[GivenClip], wish: Wish) -> list[TextAnswer]:
        """Ask for the captions of a call's clips; what capfix calls.

        Raises:
            CallFailed: these clips have none.
            CapfixError: no clip will have any.
        """
        waveforms = [clip.samples for clip in clips]
        found = self.caption(waveforms, self.sample_rate)
        return as_answers(found, clips, f"{type(self).__name__}.caption()")

    def get_ready(self, clips: Sequence[GivenClip]) -> None:
        """Find out how it is asked, before all clips are read.

        Args:
            clips: two of them, or one where there are no more.
        """

    def stop(self) -> None:
        """End calls that still run: nobody waits for them any more."""

    def identity(self) -> Mapping[str, Any]:
        """Give what decides its captions beside audio and wishes, to know its answers again."""
        return {}


def as_answers(value: object, clips: Sequence[GivenClip], who: str) -> list[TextAnswer]:
    """Check what was given for several clips.

    Raises:
        CapfixError: it is not one text a clip.
    """
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Sequence):
        raise CapfixError(
            f"{who} gave {_kind(value)} for {len(clips)} clip{'s'[: len(clips) > 1]}.",
            "Return a list with one str a clip, in the order of the clips.",
        )
    if len(value) != len(clips):
        raise CapfixError(
            f"{who} gave {len(value)} captions for {len(clips)} clip{'s'[: len(clips) > 1]}.",
            "Return a list with one str a clip, in the order of the clips.",
        )
    return [
        TextAnswer(as_text(one, clip.name, who)) for one, clip in zip(value, clips, strict=True)
    ]


def as_text(value: object, clip: str, who: str) -> str:
    """Take the caption out of what was given for one clip.

    Args:
        value: a str, a dict that holds one, or a list of one of these.
        clip: its name.
        who: gave it.

    Raises:
        CapfixError: there is no caption in it.

    >>> as_text([{"generated_text": "a dog barks"}], "a.wav", "caption()")
    'a dog barks'
    """
    inner = value
    if isinstance(inner, list | tuple) and len(inner) == 1:
        inner = inner[0]
    if isinstance(inner, Mapping):
        inner = next((inner[key] for key in TEXT_KEYS if key in inner), inner)
    if isinstance(inner, str):
        return " ".join(inner.split())
    raise CapfixError(
        f"{who} gave {_kind(value)} for {clip}, not its caption.", "Return the caption as a str."
    )


def _kind(value: object) -> str:
    """Say in words what was given.

    >>> _kind(None), _kind(b"a dog"), _kind({"score": 1}), _kind([])
    ('None', "bytes (b'a dog')", "a dict with the keys 'score'", 'an empty list')
    """
    if value is None:
        return "None"
    if isinstance(value, Mapping):
        return f"a dict with the keys {', '.join(map(repr, list(value)[:5]))}"
    if isinstance(value, list | tuple) and not value:
        return f"an empty {type(value).__name__}"
    shown = f"{value!r:.60}"
    return f"{type(value).__name__} ({shown})"
