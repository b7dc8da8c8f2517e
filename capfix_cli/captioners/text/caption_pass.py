"""One pass over a folder: the caption that a text-only captioner gives of every clip."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from capfix_cli.audio.audio_batches import read_waveform
from capfix_cli.audio.audio_files import Clip
from capfix_cli.audio.clip_set import ClipSet
from capfix_cli.captioners.text.asker import Asker
from capfix_cli.captioners.text.text_captioner import GivenClip, TextAnswer, TextCaptioner, Wish
from capfix_cli.core.errors import CapfixError
from capfix_cli.core.progress import ProgressCallback
from capfix_cli.schemas.clip_records import ClipCaption, SkippedClip
from capfix_cli.schemas.diagnosis_record import AudioSummary

BLOCK = 64  # clips read at once, so that no folder fills the memory
SPOT = 8  # kept answers that are asked again to see whether the captioner is still the same
STAGE = "asking for captions"


@dataclass(frozen=True, kw_only=True)
class TextClips:
    """What a pass gives.

    Attributes:
        audio: summary of the folder.
        captions: of every clip that has one, by file name.
        answers: clip name -> its answer.
        digests: of every usable clip's samples.
        clip_set: the files that were gone through.
        notes: what a reader must know of how captions were come by.
    """

    audio: AudioSummary
    captions: tuple[ClipCaption, ...]
    answers: Mapping[str, TextAnswer]
    digests: tuple[bytes, ...]
    clip_set: ClipSet
    notes: tuple[str, ...] = ()
    ends_known: bool = field(default=False)


def read_given(clip: Clip, captioner: TextCaptioner) -> tuple[GivenClip, float] | SkippedClip:
    """Read a clip as a captioner is given it, with its seconds; or say why it cannot be used."""
    rate = clip.sample_rate if captioner.by_file else captioner.sample_rate
    heard = read_waveform(clip, rate)
    if isinstance(heard, SkippedClip):
        return heard
    given = GivenClip(clip.name, heard.samples, rate, heard.digest.hex(), clip.path)
    return given, heard.seconds


def read_some(
    clips: Sequence[Clip], captioner: TextCaptioner, most: int
) -> tuple[list[GivenClip], list[SkippedClip]]:
    """Read the first usable clips, ``most`` of them, and tell those that were passed over."""
    found: list[GivenClip] = []
    skipped: list[SkippedClip] = []
    for clip in clips:
        if len(found) == most:
            break
        outcome = read_given(clip, captioner)
        if isinstance(outcome, SkippedClip):
            skipped.append(outcome)
        else:
            found.append(outcome[0])
    return found, skipped


@dataclass(frozen=True, kw_only=True)
class ReadPart:
    """Clips of a folder that were read, to be asked about.

    Attributes:
        given: those that can be used.
        skipped: those that cannot.
        seconds: of audio in all.
    """

    given: list[GivenClip]
    skipped: list[SkippedClip]
    seconds: float

    def answered(self, found: Sequence[TextAnswer | None]) -> dict[str, TextAnswer]:
        """Clip name -> its answer, of those that have one."""
        pairs = zip(self.given, found, strict=True)
        return {clip.name: answer for clip, answer in pairs if answer is not None}

    def unanswered(self, found: Sequence[TextAnswer | None], asker: Asker) -> list[SkippedClip]:
        """Those that have none, with the reason."""
        failed = asker.count.failed
        return [
            SkippedClip(clip.name, failed.get(clip.name, "it has no caption"), "no-caption")
            for clip, answer in zip(self.given, found, strict=True)
            if answer is None
        ]


def read_part(clips: Sequence[Clip], captioner: TextCaptioner) -> ReadPart:
    """Read clips, those that cannot be used apart."""
    given: list[GivenClip] = []
    skipped: list[SkippedClip] = []
    seconds = 0.0
    for clip in clips:
        outcome = read_given(clip, captioner)
        if isinstance(outcome, SkippedClip):
            skipped.append(outcome)
        else:
            given.append(outcome[0])
            seconds += outcome[1]
    return ReadPart(given=given, skipped=skipped, seconds=seconds)


def _refuse(skipped: Sequence[SkippedClip]) -> None:
    """Say why no clip has a caption, where that is the captioner's doing.

    Raises:
        CapfixError: it is.
    """
    first = next((one for one in skipped if one.kind == "no-caption"), None)
    if first is not None:
        raise CapfixError(f"No clip has a caption: {first.reason}", "Mend that first.")


def make_ready(asker: Asker, clips: Sequence[Clip]) -> None:
    """Let a captioner find out how it is asked, on the first clips that can be used."""
    found, _ = read_some(clips, asker.captioner, 2)
    if found:
        asker.captioner.get_ready(found)


def caption_clips(
    asker: Asker, clips: ClipSet, wish: Wish, seed: int, progress: ProgressCallback
) -> TextClips:
    """Ask for the caption of every clip.

    Args:
        asker: of the captioner.
        clips: of the folder.
        wish: how they are asked for.
        seed: of the order in which they are asked, which puts chance neighbours into a call.
        progress: called as the work goes on.

    Raises:
        CapfixError: the captioner cannot be asked, or no clip has a caption.
    """
    drawn, _ = clips.split(len(clips), seed)
    make_ready(asker, drawn)
    notes = check_kept(asker, drawn, wish)
    size = max(1, asker.captioner.clips_a_call)
    block = max(size, BLOCK // size * size)
    answers: dict[str, TextAnswer] = {}
    skipped = list(clips.skipped)
    digests: list[bytes] = []
    seconds = 0.0
    for start in range(0, len(drawn), block):
        part = read_part(drawn[start : start + block], asker.captioner)
        found = asker.ask(part.given, wish, told=_from(start, len(drawn), progress))
        answers |= part.answered(found)
        skipped += [*part.skipped, *part.unanswered(found, asker)]
        seconds += part.seconds
        digests += [bytes.fromhex(clip.digest) for clip in part.given]
    if clips.clips and not answers:
        _refuse(skipped)
    return TextClips(
        audio=AudioSummary(
            clips.folder,
            len(answers),
            seconds,
            tuple(sorted(skipped, key=lambda one: one.path)),
        ),
        captions=as_captions(answers),
        answers=answers,
        digests=tuple(digests),
        clip_set=clips,
        notes=tuple(notes),
        ends_known=all(answer.ended is not None for answer in answers.values()),
    )


def _from(before: int, clips: int, progress: ProgressCallback) -> Callable[[int, int], None]:
    return lambda done, total: progress(STAGE, before + done, clips)


def as_captions(answers: Mapping[str, TextAnswer]) -> tuple[ClipCaption, ...]:
    """Give answers as captions of their clips, by file name."""
    captions = []
    for name in sorted(answers):
        answer = answers[name]
        logprob = float("nan") if answer.logprob is None else answer.logprob
        ended = answer.ended is not False
        captions.append(ClipCaption(name, answer.text, logprob=logprob, ended=ended))
    return tuple(captions)


def check_kept(asker: Asker, drawn: Sequence[Clip], wish: Wish) -> list[str]:
    """Ask some of what is kept again, and forget it all where most answers are others now.

    Returns:
        what a reader must know of it.
    """
    kept = asker.kept
    if kept is None or not kept.found:
        return []
    known, _ = read_some(drawn, asker.captioner, SPOT)
    known = [clip for clip in known if asker.is_known(clip, wish)]
    if not known:
        return []
    before = [answer.text for answer in asker.ask(known, wish) if answer is not None]
    now = [answer.text for answer in asker.ask(known, wish, fresh=True) if answer is not None]
    moved = [place for place, text in enumerate(now) if text != before[place]]
    if 2 * len(moved) > len(known):
        moved_clips = [known[place] for place in moved]
        again = asker.ask(moved_clips, wish, fresh=True)
        steady = sum(
            answer is not None and answer.text == now[place]
            for place, answer in zip(moved, again, strict=True)
        )
        if 2 * steady > len(known):
            asker.forget()
            return [
                f"Captions of {kept.since} were kept, and the captioner says something else now:"
                " all clips were asked anew."
            ]
    same = len(known) - len(moved)
    return [
        f"{len(kept.found)} answers of {kept.since} were kept and used again; of {len(known)} that"
        f" were asked anew {same} are the same. --fresh asks all anew."
    ]
