"""Experiments on a captioner that is only asked: each made once, when something needs it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

from capfix_cli.audio.clip_sample import ProbeFailed
from capfix_cli.captioners.text.asker import Asker
from capfix_cli.captioners.text.caption_pass import TextClips, read_some
from capfix_cli.captioners.text.text_captioner import GivenClip, Wish
from capfix_cli.core.errors import CapfixError
from capfix_cli.core.progress import ProgressCallback, no_progress
from capfix_cli.core.text import split_words
from capfix_cli.measures.intervals import share_interval
from capfix_cli.probes.altered_clips import (
    FAR,
    QUIETER,
    at_level,
    copied,
    halves_exchanged,
    hardly_altered,
    noise,
    silent,
)

LISTENED = 64  # clips that are sent again as copies: bits then have a standard error of .2
PROBED = 16  # clips of the other experiments: of one clip in ten that moves, .8 are seen
NOISES = 4  # clips of noise
STAGE = "asking about altered clips"


@dataclass(frozen=True)
class KeptShare:
    """How many clips kept their caption, word for word.

    Attributes:
        kept: clips.
        clips: that were asked about.
    """

    kept: int
    clips: int

    @property
    def share(self) -> float:
        """Of the clips."""
        return self.kept / max(1, self.clips)

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval of the share."""
        return share_interval(self.kept, self.clips)


class TextProbes:
    """Experiments on one captioner and the clips that it captioned.

    Args:
        asker: of the captioner.
        clips: what it said of the folder.
        wish: how it was asked.
        seed: of what is drawn.
        progress: called as the work goes on.
    """

    def __init__(
        self,
        asker: Asker,
        clips: TextClips,
        wish: Wish,
        seed: int,
        progress: ProgressCallback = no_progress,
    ) -> None:
        self.asker = asker
        self.clips = clips
        self.wish = wish
        self.seed = seed
        self.progress = progress
        self.said = {name: answer.text for name, answer in clips.answers.items()}

    @cached_property
    def sample(self) -> list[GivenClip]:
        """Clips for experiments, in an order drawn by the seed."""
        drawn, _ = self.clips.clip_set.split(len(self.clips.clip_set), self.seed)
        usable = [clip for clip in drawn if clip.name in self.said]
        found, _ = read_some(usable, self.asker.captioner, LISTENED)
        return found

    @cached_property
    def copies(self) -> dict[str, str]:
        """Clip name -> the caption of a copy under another name: quieter, with faint noise.

        Raises:
            ProbeFailed: the captioner takes no copies.
        """
        return self.copies_of(self.sample, self.wish)

    def copies_of(
        self, clips: Sequence[GivenClip], wish: Wish, *, alone: bool = False
    ) -> dict[str, str]:
        """Ask for captions of copies, in another order than their clips were.

        Raises:
            ProbeFailed: the captioner takes no copies.
        """
        quiet = [hardly_altered(clip) for clip in sorted(clips, key=_shuffled)]
        return self.said_alone(quiet, wish) if alone else self.said_of(quiet, wish)

    @cached_property
    def milder(self) -> dict[str, str]:
        """Clip name -> the caption of a copy that is but 3 dB quieter.

        Raises:
            ProbeFailed: the captioner takes no copies.
        """
        clips = sorted(self.sample, key=_shuffled)
        return self.said_of([at_level(clip, QUIETER) for clip in clips])

    def said_of(
        self, clips: Sequence[GivenClip], wish: Wish | None = None, again: int = 0
    ) -> dict[str, str]:
        """Ask about clips: name -> caption of those that have one.

        Args:
            clips: as they are or altered.
            wish: how; as it was asked before if None.
            again: as :meth:`capfix_cli.captioners.text.asker.Asker.ask` takes it.

        Raises:
            ProbeFailed: the captioner does not take them.
        """
        before = dict(self.asker.count.failed)
        try:
            found = self.asker.ask(
                clips,
                wish or self.wish,
                again=again,
                told=lambda done, total: self.progress(STAGE, done, total),
            )
        except CapfixError as error:
            if self.asker.out_of_time:
                raise
            raise ProbeFailed(f"a captioner that takes altered clips ({error.message})") from error
        finally:
            self.asker.count.failed = before  # what fails of a copy is no clip without a caption
        return {
            clip.name: answer.text
            for clip, answer in zip(clips, found, strict=True)
            if answer is not None
        }

    def _compared(self, change: Callable[[GivenClip], GivenClip], again: int = 0) -> KeptShare:
        clips = [change(clip) for clip in self.sample[:PROBED]]
        return self._share(self.said_of(clips, again=again))

    def _share(self, said: dict[str, str]) -> KeptShare:
        if not said:
            raise ProbeFailed("a captioner that takes altered clips")
        return KeptShare(
            sum(same_words(text, self.said[name]) for name, text in said.items()), len(said)
        )

    @cached_property
    def repeated(self) -> KeptShare:
        """The same clips once more."""
        return self._compared(lambda clip: clip, again=1)

    @property
    def steady(self) -> bool:
        """Whether it says the same when it is asked twice."""
        return self.repeated.kept == self.repeated.clips

    @cached_property
    def renamed(self) -> KeptShare:
        """The same sound from a file of another name.

        Raises:
            ProbeFailed: it is given no files.
        """
        if not self.asker.captioner.by_file:
            raise ProbeFailed("a captioner that is given files")
        return self._compared(copied)

    @cached_property
    def softer(self) -> KeptShare:
        """The same sound at a tenth of its amplitude."""
        return self._compared(lambda clip: at_level(clip, FAR))

    @cached_property
    def exchanged(self) -> KeptShare:
        """The same sound with its halves exchanged."""
        return self._compared(halves_exchanged)

    @cached_property
    def silence(self) -> str:
        """What it says of silence.

        Raises:
            ProbeFailed: it does not take silence.
        """
        said = self.said_of([silent(self.sample[0])])
        if not said:
            raise ProbeFailed("a captioner that takes silence")
        return next(iter(said.values()))

    @cached_property
    def of_silence(self) -> KeptShare:
        """How many clips are captioned as silence is."""
        same = sum(same_words(text, self.silence) for text in self.said.values())
        return KeptShare(same, len(self.said))

    @cached_property
    def noises(self) -> list[str]:
        """What it says of noise.

        Raises:
            ProbeFailed: it does not take noise.
        """
        drawn = [
            noise(clip, self.seed + number) for number, clip in enumerate(self.sample[:NOISES])
        ]
        found = [self.said_of([clip]) for clip in drawn]
        said = [text for one in found for text in one.values()]
        if not said:
            raise ProbeFailed("a captioner that takes noise")
        return said

    @cached_property
    def alone(self) -> KeptShare:
        """Clips asked about one by one, against as many as a call takes.

        Raises:
            ProbeFailed: a call takes one clip anyway, or answers differ from time to time.
        """
        self._need_neighbours()
        return self._share(self.said_alone(self.sample[:PROBED]))

    def said_alone(self, clips: Sequence[GivenClip], wish: Wish | None = None) -> dict[str, str]:
        """Ask about clips one by one."""
        answers = self.asker.ask(clips, wish or self.wish, size=1)
        pairs = zip(clips, answers, strict=True)
        return {clip.name: answer.text for clip, answer in pairs if answer is not None}

    @cached_property
    def reordered(self) -> KeptShare:
        """Clips in a call with other neighbours, in another order.

        Raises:
            ProbeFailed: as :attr:`alone`.
        """
        self._need_neighbours()
        others = sorted(self.sample[:PROBED], key=_shuffled)
        return self._share(self.said_of(others, again=2))

    def _need_neighbours(self) -> None:
        if self.asker.captioner.clips_a_call < 2:
            raise ProbeFailed("a captioner that takes several clips a call")
        if not self.steady:
            raise ProbeFailed("a captioner that answers the same twice")


def same_words(one: str, other: str) -> bool:
    """Say whether two captions have the same words in the same order."""
    return split_words(one) == split_words(other)


def _shuffled(clip: GivenClip) -> str:
    """Order clips by something that has nothing to do with their names."""
    return clip.digest[::-1]
