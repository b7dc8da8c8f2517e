"""Every experiment on one captioner, each made when first asked for and then shared."""

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
from capfix_cli.probes.attention_probe import Attention, measure_attention
from capfix_cli.probes.captioner_errors import probe_failure
from capfix_cli.probes.conditioning_probe import Conditioning, measure_conditioning, measure_prefix
from capfix_cli.probes.front_end_search import FITTED, Recovery, recover
from capfix_cli.probes.geometry import Geometry, measure_geometry
from capfix_cli.probes.initial_weights import Weights, read_weights
from capfix_cli.probes.invariance import Invariance, measure_invariance
from capfix_cli.probes.language_probe import (
    FreeRunning,
    Language,
    measure_language,
    measure_running,
)
from capfix_cli.probes.listening import ending
from capfix_cli.probes.next_word import MOST_PLACES, rows_for
from capfix_cli.probes.normalisation import Fit, measure_fit
from capfix_cli.probes.signal_path import SignalStage, measure_signal
from capfix_cli.probes.special_tokens import Endings, Opening, measure_endings, measure_opening
from capfix_cli.schemas.clip_records import ClipCaption

ROWS = 24  # captions that are followed side by side
MIN_CLIPS = 8  # clips in a batch whose memories can be exchanged
_NATURAL = DecodingOptions(do_sample=True)

Result = TypeVar("Result")


class ProbeCache:
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
    ) -> None:
        self.captioner = captioner
        self.sample = sample
        self.chunks = chunks
        self.captions = captions
        self.references = references
        self.seed = seed
        self.trained_on = trained_on
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
    def output_width(self) -> int:
        """How many scores a step gives."""

        def make() -> int:
            memory, _, _ = self.followed
            with torch.inference_mode():
                scores, _ = self.captioner.open(self.captioner.prepare(memory))
            return int(scores.shape[1])

        return self._once("output-width", make)

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

    @property
    def prefix(self) -> float:
        """How the next word moves when the words before it are others."""

        def make() -> float:
            memory, captions, _ = self.followed
            return measure_prefix(self.captioner, memory, captions, self.seed)

        return self._once("prefix", make)

    @property
    def invariance(self) -> Invariance:
        """What must not move the captioner."""
        return self._once(
            "invariance", lambda: measure_invariance(self.captioner, self.sample, self.typical)
        )

    @property
    def geometry(self) -> Geometry:
        """Differences between clips in features, memory and time."""
        return self._once("geometry", lambda: measure_geometry(self.captioner, self.sample))

    @property
    def attention(self) -> Attention:
        """What attention chooses."""

        def make() -> Attention:
            memory, captions, _ = self.followed
            frames = _longest(memory, self.captioner.memory_batch_dim)
            return measure_attention(self.captioner, memory, captions, frames)

        return self._once("attention", make)

    @property
    def fitted(self) -> Sample:
        """Clips that features are fitted to BatchNorm statistics on."""
        return self._once("fitted", self.trained_on or (lambda: self.sample))

    @property
    def fit(self) -> list[Fit]:
        """How real features fit the BatchNorms."""

        def make() -> list[Fit]:
            waveforms, lengths = self.fitted.cropped(FITTED)
            return measure_fit(
                self.captioner,
                lambda: self.captioner.encode(waveforms, lengths),
                first_only=True,
            )

        return self._once("fit", make)

    @property
    def weights(self) -> Weights:
        """Which layers are as they were created."""
        return self._once("weights", lambda: read_weights(self.captioner))

    @property
    def signal(self) -> tuple[SignalStage, ...]:
        """Where the audio is lost."""
        return self._once(
            "signal", lambda: measure_signal(self.captioner, self.sample, self.typical)
        )

    @property
    def recovery(self) -> Recovery:
        """Which front end training had."""
        return self._once(
            "recovery",
            lambda: recover(
                self.captioner,
                self.sample,
                self.seed,
                self.references,
                rates=True,
                fitted=self.fitted,
            ),
        )

    @property
    def endings(self) -> Endings:
        """Special tokens in captions."""
        return self._once("endings", lambda: measure_endings(self.captioner, self.captions))

    @property
    def language(self) -> Language:
        """The decoder held to references."""

        def make() -> Language:
            memory, own, every, unknown = self._tokens()
            first = [texts[0] for texts in own]
            return measure_language(
                *(self.captioner, memory, first), own_texts=own, all_texts=every, unknown=unknown
            )

        return self._once("language", make)

    @property
    def opening(self) -> Opening:
        """The token that opens captions."""

        def make() -> Opening:
            memory, own, every, _ = self._tokens()
            first = [texts[0] for texts in own]
            return measure_opening(self.captioner, memory, first, every)

        return self._once("opening", make)

    @property
    def running(self) -> FreeRunning:
        """Whether captions that run free go astray."""
        if self.references is None:
            raise ProbeFailed("--references CSV")
        references = self.references

        def make() -> FreeRunning:
            held = [c for c in self.captions if references.get(c.file_name)]
            return measure_running(
                [split_words(c.text) for c in held],
                [[split_words(t) for t in references[c.file_name]] for c in held],
            )

        return self._once("running", make)

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


def _longest(memory: Memory, dim: int) -> int:
    """The longest axis of a memory's frames: tensors of three axes or more, the last left out."""
    sizes = [1]

    def look(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.ndim >= 3:
            sizes.extend(n for axis, n in enumerate(tensor.shape[:-1]) if axis != dim)
        return tensor

    nested.apply(memory, look)
    return max(sizes)
