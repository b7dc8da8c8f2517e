"""Training clips and captions as an in-memory data set of log-mel features."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset

from capfix_cli.audio.batches import iterate_batches
from capfix_cli.audio.files import read_headers
from capfix_cli.captioners.own.captioner import SPECIAL
from capfix_cli.captioners.own.config import FrontEndConfig
from capfix_cli.captioners.own.encoder import LogMel
from capfix_cli.errors import CapfixError
from capfix_cli.measures.captions_file import match_references, read_references
from capfix_cli.records import SkippedClip
from capfix_cli.words import split_words

Progress = Callable[[int, int], None]  # done, in all
Item = tuple[Tensor, str]  # [frames, n_mels] features and one caption
Collated = tuple[Tensor, Tensor, list[str]]  # [B, frames, n_mels], [B] frames, B captions


@dataclass(frozen=True)
class TrainingClips:
    """Every training clip's features and captions.

    Attributes:
        features: [frames, n_mels] float16 each: a log-mel of +-16 keeps a hundredth, and half
            the memory.
        captions: of each clip, at least one.
        skipped: files that could not be used.
        unmatched: audio files without a caption.
    """

    features: list[Tensor]
    captions: list[list[str]]
    skipped: tuple[SkippedClip, ...]
    unmatched: int


def load_training_clips(
    captions_csv: str | Path,
    audio_folder: str | Path,
    front_end: FrontEndConfig,
    progress: Progress | None = None,
) -> TrainingClips:
    """Read a captions file and its audio, and compute the features once.

    Raises:
        CapfixError: no captions, no audio, or none that belong together.
    """
    references = read_references(captions_csv)
    clips, skipped = read_headers(audio_folder)
    matched = match_references(references, [clip.name for clip in clips], captions_csv)
    wanted = [clip for clip in clips if clip.name in matched]
    front = LogMel(front_end)
    features: dict[str, Tensor] = {}
    for batch in iterate_batches(wanted, front_end.sample_rate, 16, front_end.n_fft // 2):
        skipped.extend(batch.skipped)
        if batch.clips:
            with torch.inference_mode():
                frames, lengths = front(batch.waveforms, batch.lengths)
            for name, clip, length in zip(batch.names, frames, lengths.tolist(), strict=True):
                features[name] = clip[:length].half().clone()
        if progress is not None:
            progress(len(features) + len(skipped), len(wanted))
    if not features:
        raise CapfixError(
            f"None of the {len(wanted)} captioned clips in {audio_folder} can be used:"
            f" {skipped[0].path} is {skipped[0].reason}.",
            "Check the audio files.",
        )
    names = sorted(features)
    return TrainingClips(
        [features[name] for name in names],
        [matched[name] for name in names],
        tuple(skipped),
        len(clips) - len(wanted),
    )


def build_vocabulary(captions: Sequence[Sequence[str]], minimum: int = 1) -> list[str]:
    """Give the special tokens and every word said at least ``minimum`` times, by frequency."""
    counts = Counter(word for texts in captions for text in texts for word in split_words(text))
    words = [word for word, count in counts.items() if count >= minimum]
    return [*SPECIAL, *sorted(words, key=lambda word: (-counts[word], word))]


class CaptionedClips(Dataset[Item]):
    """One item a clip: its features and, drawn anew each time, one of its captions."""

    def __init__(self, clips: TrainingClips, seed: int) -> None:
        self.clips = clips
        self.generator = np.random.default_rng([seed, 41])

    def __len__(self) -> int:
        return len(self.clips.features)

    def __getitem__(self, index: int) -> Item:
        texts = self.clips.captions[index]
        return self.clips.features[index], texts[int(self.generator.integers(len(texts)))]


def collate(items: Sequence[Item]) -> Collated:
    """Pad features to one tensor."""
    lengths = torch.tensor([clip.shape[0] for clip, _ in items])
    frames = pad_sequence([clip.float() for clip, _ in items], batch_first=True)
    return frames, lengths, [text for _, text in items]
