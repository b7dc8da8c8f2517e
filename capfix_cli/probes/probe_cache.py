"""Every experiment on one captioner, each made when first asked for and then shared."""

from __future__ import annotations

import torch

from capfix_cli.audio.clip_sample import ProbeFailed, Sample
from capfix_cli.captioners.base import Memory
from capfix_cli.core.text import split_words
from capfix_cli.decoding import nested_tensors as nested
from capfix_cli.probes.attention_probe import Attention, measure_attention
from capfix_cli.probes.conditioning_probe import measure_prefix
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
from capfix_cli.probes.normalisation import Fit, measure_fit
from capfix_cli.probes.signal_path import SignalStage, measure_signal
from capfix_cli.probes.special_tokens import Endings, Opening, measure_endings, measure_opening
from capfix_cli.probes.step_hearing import every_step_hears
from capfix_cli.probes.wiring_probes import WiringProbes


class ProbeCache(WiringProbes):
    """What can be asked of a captioner; every answer is computed once."""

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
    def every_step(self) -> bool:
        """Whether every step of the decoder hears the audio, whatever it makes of it."""

        def make() -> bool:
            memory, _, names = self.followed
            return every_step_hears(self.captioner, memory, self.typical, len(names))

        return self._once("every-step", make)

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
    def silent_fit(self) -> Fit:
        """How silence of the same length fits what the first BatchNorm remembers."""

        def make() -> Fit:
            waveforms, lengths = self.fitted.cropped(4)
            quiet = torch.zeros_like(waveforms)
            return measure_fit(
                self.captioner,
                lambda: self.captioner.encode(quiet, lengths),
                first_only=True,
            )[0]

        return self._once("silent-fit", make)

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
                checkpoint=self.checkpoint,
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


def _longest(memory: Memory, dim: int) -> int:
    """The longest axis of a memory's frames: tensors of three axes or more, the last left out."""
    sizes = [1]

    def look(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.ndim >= 3:
            sizes.extend(n for axis, n in enumerate(tensor.shape[:-1]) if axis != dim)
        return tensor

    nested.apply(memory, look)
    return max(sizes)
