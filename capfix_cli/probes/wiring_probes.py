"""Experiments on how a captioner is put together, each made once."""

from __future__ import annotations

import torch

from capfix_cli.audio.clip_sample import ProbeFailed
from capfix_cli.probes.decoder_wiring import (
    Ahead,
    History,
    Lags,
    Paths,
    measure_ahead,
    measure_history,
    measure_lags,
    measure_paths,
)
from capfix_cli.probes.feature_layouts import (
    Layouts,
    axes_candidates,
    padding_candidates,
    try_layouts,
)
from capfix_cli.probes.file_weights import FileMatch, match_file
from capfix_cli.probes.front_ends import FrontEnd
from capfix_cli.probes.length_probe import CutShort, measure_cut
from capfix_cli.probes.listening import ending
from capfix_cli.probes.network_modules import watched
from capfix_cli.probes.overflow import CLIPS, FEWEST, Overflow, measure_overflow
from capfix_cli.probes.pair_scoring import Scorer
from capfix_cli.probes.probe_base import ProbeBase
from capfix_cli.probes.prompts import Prompts, measure_prompts
from capfix_cli.probes.reference_rows import ReferenceRows, measure_reference_rows


class WiringProbes(ProbeBase):
    """Of labels, state, paths, prompts, weights and references; made when first asked for."""

    @property
    def lags(self) -> Lags:
        """Whether scores are of the word read, of the next one, or of the one after."""

        def make() -> Lags:
            memory, own, _, _ = self._tokens()
            return measure_lags(self.captioner, memory, [texts[0] for texts in own])

        return self._once("lags", make)

    @property
    def history(self) -> History:
        """Whether words before the last one move the next."""

        def make() -> History:
            memory, captions, _ = self.followed
            return measure_history(self.captioner, memory, captions)

        return self._once("history", make)

    @property
    def paths(self) -> Paths:
        """Whether its ways of scoring captions agree."""

        def make() -> Paths:
            memory, captions, _ = self.followed
            try:
                # References are captions as they should be; own ones may be of one word.
                memory, own, _, _ = self._tokens()
                captions = [texts[0] for texts in own]
            except ProbeFailed:
                pass
            clip = self.conditioning.overall
            return measure_paths(self.captioner, memory, captions, clip)

        return self._once("paths", make)

    @property
    def ahead(self) -> Ahead:
        """Whether earlier places see later words."""

        def make() -> Ahead:
            memory, own, _, _ = self._tokens()
            return measure_ahead(self.captioner, memory, [texts[0] for texts in own])

        return self._once("ahead", make)

    @property
    def file_match(self) -> FileMatch:
        """The running network against the tensors of its file."""

        def make() -> FileMatch:
            module = self.captioner.module
            if module is None or not self.checkpoint:
                raise ProbeFailed("a network (module) and its file")
            return match_file(module, self.checkpoint)

        return self._once("file-match", make)

    @property
    def encoder_layers(self) -> frozenset[str]:
        """Names of the layers that run while clips are encoded."""

        def make() -> frozenset[str]:
            waveforms, lengths = self.sample.cropped(1)
            names: set[str] = set()
            with (
                torch.inference_mode(),
                watched(self.captioner, lambda name, *call: names.add(name)),
            ):
                self.captioner.encode(waveforms, lengths)
            return frozenset(names - {""})

        return self._once("encoder-layers", make)

    @property
    def axes(self) -> Layouts:
        """What listens with the axes of the features exchanged or reversed."""
        return self._once("axes", lambda: self._layouts(axes_candidates()))

    @property
    def padding_values(self) -> Layouts:
        """What listens with other values behind the clips."""

        def make() -> Layouts:
            if len({len(waveform) for waveform in self.sample.waveforms}) < 2:
                raise ProbeFailed("clips of different lengths")
            return self._layouts(padding_candidates(self.captioner))

        return self._once("padding-values", make)

    def _layouts(self, candidates: list[FrontEnd]) -> Layouts:
        return try_layouts(self.captioner, self.sample, candidates, self.seed, self.references)

    @property
    def overflow(self) -> Overflow:
        """Clips that get no numbers of their own."""

        def make() -> Overflow:
            known = set(self.sample.names)
            # Batches go by length: the one that has most of the clips whose waveforms are at hand.
            chunk = max(
                self.chunks, key=lambda chunk: len(known.intersection(chunk.names)), default=None
            )
            if chunk is not None and len(known.intersection(chunk.names)) >= FEWEST:
                memory, names = chunk.memory, chunk.names
            else:
                waveforms, lengths, names = self.sample.padded(CLIPS)
                with torch.inference_mode():
                    memory = self.captioner.encode(waveforms, lengths)
            return measure_overflow(self.captioner, memory, names, self.sample, self.typical)

        return self._once("overflow", make)

    @property
    def prompts(self) -> Prompts:
        """What else captions could be opened with."""

        def make() -> Prompts:
            try:
                memory, own, _, _ = self._tokens()
            except ProbeFailed:
                memory, _, names = self.followed
                return measure_prompts(self.captioner, memory, names, None)
            names = tuple(str(row) for row in range(len(own)))
            return measure_prompts(self.captioner, memory, names, [texts[0] for texts in own])

        return self._once("prompts", make)

    @property
    def reference_rows(self) -> ReferenceRows:
        """Whether references are of the clips that they are given for."""
        references = self.references
        if references is None:
            raise ProbeFailed("--references CSV")
        return self._once(
            "reference-rows",
            lambda: measure_reference_rows(Scorer(self.captioner, self.chunks), references),
        )

    @property
    def cut(self) -> CutShort:
        """Whether captions end by their number of words."""

        def make() -> CutShort:
            memory, own, _, _ = self._tokens()
            captions = [ending(c, self.captioner.eos_id) for c in self.captions]
            # The longest of each clip: where captions were cut shows in what goes on beyond it.
            longest = [max(texts, key=len) for texts in own]
            return measure_cut(self.captioner, memory, longest, captions)

        return self._once("cut", make)
