"""What is known of single clips: captions, and why some could not be used."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

SkippedKind = Literal[
    "unreadable",
    "empty",
    "non-finite",
    "silent",
    "too-short",
    "unknown-rate",
    "non-finite-scores",
    "no-caption",
]


@dataclass(frozen=True)
class SkippedClip:
    """A clip that could not be used.

    Attributes:
        path: of its file, relative to the folder.
        reason: in words.
        kind: what programs compare; ``unreadable`` in runs of before 0.2, which had words alone.
    """

    path: str
    reason: str
    kind: SkippedKind = "unreadable"


def count_reasons(skipped: Iterable[SkippedClip]) -> str:
    """Count why clips were skipped, the commonest reason first; empty where none was.

    >>> count_reasons([SkippedClip("a", "silent", "silent"), SkippedClip("b", "silent", "silent")])
    '2 skipped: silent'
    """
    counts = Counter(clip.reason for clip in skipped)
    if not counts:
        return ""
    told = [
        reason if len(counts) == 1 else f"{count} {reason}"
        for reason, count in counts.most_common(3)
    ]
    rest = sum(counts.values()) - sum(count for _, count in counts.most_common(3))
    more = [f"{rest} for other reasons"] if rest else []
    return f"{sum(counts.values())} skipped: {', '.join([*told, *more])}"


@dataclass(frozen=True)
class ClipCaption:
    """The caption of one clip.

    Attributes:
        file_name: the path relative to the audio folder, with forward slashes.
        text: the caption in words.
        tokens: token ids, without begin and end.
        logprob: natural-log probability of the tokens as decoded, end token included.
        ended: whether the captioner gave its end token before the length limit.
        others: further captions of the clip, the best first, where several were asked for.
    """

    file_name: str
    text: str
    tokens: tuple[int, ...] = ()
    logprob: float = 0.0
    ended: bool = True
    others: tuple[ClipCaption, ...] = ()
