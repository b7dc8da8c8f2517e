"""Captions of clips by asking for them, in the order in which captions are written down."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from capfix_cli.audio.audio_files import Clip
from capfix_cli.captioners.text.asker import Asker
from capfix_cli.captioners.text.caption_pass import (
    BLOCK,
    as_captions,
    check_kept,
    make_ready,
    read_part,
)
from capfix_cli.captioners.text.text_captioner import Wish
from capfix_cli.core.progress import ProgressCallback, tell
from capfix_cli.generation.captioning import Captioned


@dataclass(frozen=True)
class TextWriter:
    """Captions clips by a captioner that gives text.

    Attributes:
        asker: of the captioner.
        wish: how captions are asked for.
        progress: told what a reader must know.
    """

    asker: Asker
    wish: Wish
    progress: ProgressCallback

    def captions(
        self, clips: Sequence[Clip], shares: Sequence[Sequence[Clip]]
    ) -> Iterator[Captioned]:
        """Caption the clips of some shares, so many at once as a few calls take.

        Raises:
            CapfixError: the captioner cannot be asked.
        """
        left = [clip for share in shares for clip in share]
        make_ready(self.asker, left)
        for note in check_kept(self.asker, left, self.wish):
            tell(self.progress, note)
        captioner = self.asker.captioner
        at_once = self.asker.limits.at_once if captioner.parallel else 1
        size = min(BLOCK, max(1, captioner.clips_a_call) * at_once)
        for start in range(0, len(left), size):
            yield self._captioned(left[start : start + size])

    def _captioned(self, clips: Sequence[Clip]) -> Captioned:
        part = read_part(clips, self.asker.captioner)
        found = self.asker.ask(part.given, self.wish)
        missing = part.unanswered(found, self.asker)
        return Captioned(as_captions(part.answered(found)), (*part.skipped, *missing))
