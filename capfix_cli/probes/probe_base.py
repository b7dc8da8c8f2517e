"""What every experiment on one captioner stands on: its clips, captions and references."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar, cast

import torch

from capfix_cli.audio.clip_sample import ProbeFailed, Sample
from capfix_cli.captioners.base import Captioner, Memory
from capfix_cli.core.text import split_words
from capfix_cli.decoding import nested_tensors as nested
from capfix_cli.decoding.caption_scoring import Tokens, reference_tokens
from capfix_cli.decoding.decode import EncodedBatch, decode
from capfix_cli.decoding.decoding_options import DecodingOptions
from capfix_cli.probes.captioner_errors import probe_failure
from capfix_cli.probes.conditioning_probe import Conditioning, measure_conditioning
from capfix_cli.probes.listening import ending
from capfix_cli.probes.next_word import MOST_PLACES, rows_for
from capfix_cli.schemas.clip_records import ClipCaption

ROWS = 24  # captions that are followed side by side
MIN_CLIPS = 8  # clips in a batch whose memories can be exchanged
_NATURAL = DecodingOptions(do_sample=True)

Result = TypeVar("Result")


class ProbeBase:
    """What can be asked of a captioner; every answer is computed once.

    Every method raises :class:`ProbeFailed` where its experiment cannot be made, and also where
    the captioner fails in it: what others can still tell is then told.

    Args:
        captioner: as it is.
        sample: clips with their waveforms.
        chunks: memories of clips.
        captions: its own, greedy, of at least the chunks' clips.
        references: clip name -> references, or None.
        seed: of what is drawn.
        trained_on: gives clips of the training set, which BatchNorm statistics are of; None where
            they are not known, and the sample must do.
        checkpoint: path of the file that the captioner was made from; empty where there is none.
    """

    def __init__(
        self,
        captioner: Captioner,
        sample: Sample,
        chunks: Sequence[EncodedBatch],
        captions: Sequence[ClipCaption],
        references: Mapping[str, Sequence[str]] | None,
        *,
        seed: int,
        trained_on: Callable[[], Sample] | None = None,
        checkpoint: str = "",
    ) -> None:
        self.captioner = captioner
        self.sample = sample
        self.chunks = chunks
        self.captions = captions
        self.references = references
        self.seed = seed
        self.trained_on = trained_on
        self.checkpoint = checkpoint
        self._known: dict[str, Any] = {}

    def _once(self, name: str, make: Callable[[], Result]) -> Result:
        if name not in self._known:
            try:
                self._known[name] = make()
            except ProbeFailed as reason:
                self._known[name] = reason
            except Exception as error:
                # The captioner's code is anybody's: what it cannot answer is told, not fatal. A
                # fault of capfix keeps its traceback.
                told = probe_failure(error)
                if told is None:
                    raise
                self._known[name] = ProbeFailed(told)
        known = self._known[name]
        if isinstance(known, ProbeFailed):
            raise known
        return cast(Result, known)

    @property
    def followed(self) -> tuple[Memory, list[Tokens], tuple[str, ...]]:
        """Memory, greedy captions and names of the clips that captions are followed on."""
        return self._once("followed", self._follow)

    def _follow(self) -> tuple[Memory, list[Tokens], tuple[str, ...]]:
        own = {c.file_name: ending(c, self.captioner.eos_id) for c in self.captions}
        count = rows_for(self.captioner, ROWS)
        largest = max(self.chunks, key=lambda chunk: len(chunk.names), default=None)
        if largest is not None and len(largest.names) >= MIN_CLIPS:
            names = largest.names[:count]
            rows = torch.arange(len(names))
            memory = nested.select(largest.memory, rows, self.captioner.memory_batch_dim)
        else:
            waveforms, lengths, names = self.sample.padded(count)
            if len(names) < 4:
                raise ProbeFailed("four clips or more")
            with torch.inference_mode():
                memory = self.captioner.encode(waveforms, lengths)
        return memory, [own.get(name) or (self.captioner.eos_id,) for name in names], names

    @property
    def typical(self) -> Tokens:
        """One caption of several words to follow on all clips."""
        _, captions, _ = self.followed
        return sorted(captions, key=len)[len(captions) // 2]

    @property
    def conditioning(self) -> Conditioning:
        """How the next word moves when the audio is exchanged."""
        return self._once("conditioning", self._conditioning)

    def _conditioning(self) -> Conditioning:
        memory, greedy, names = self.followed
        half = max(2, len(names) // 2)
        dim = self.captioner.memory_batch_dim
        # Drawn captions as well: greedy ones may be the very words that hide the audio.
        part = nested.select(memory, torch.arange(half), dim)
        drawn = decode(self.captioner, EncodedBatch(names[:half], part), _NATURAL, self.seed)
        both = [*greedy[:half], *(ending(c, self.captioner.eos_id) for c in drawn)]
        rows = torch.cat([torch.arange(half), torch.arange(half)])
        return measure_conditioning(
            self.captioner,
            nested.select(memory, rows, dim),
            [tokens or (self.captioner.eos_id,) for tokens in both],
            self.seed,
        )

    def _tokens(self) -> tuple[Memory, list[list[Tokens]], list[list[Tokens]], float]:
        """Memory and references of the followed clips, those of all, and the unknown share."""
        if self.references is None:
            raise ProbeFailed("--references CSV")
        memory, _, names = self.followed
        known, said, total = {}, 0, 0
        for name, texts in self.references.items():
            usable = []
            for text in texts:
                ids = self.captioner.tokenize(text)
                words = len(split_words(text))
                right = [i for i in ids if i != self.captioner.unk_id]
                said, total = said + min(len(right), words), total + words
                if ids:
                    usable.append(reference_tokens(self.captioner, text)[:MOST_PLACES])
            if usable:
                known[name] = usable
        rows = [row for row, name in enumerate(names) if name in known]
        if len(rows) < 4:
            raise ProbeFailed("references whose words the vocabulary has")
        chosen = nested.select(memory, torch.tensor(rows), self.captioner.memory_batch_dim)
        own = [known[names[row]] for row in rows]
        return chosen, own, list(known.values()), 1 - said / max(1, total)
