"""Which front end a network was trained on: searched by fit to its statistics, and by ear."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from capfix_cli.audio.clip_sample import PROBED, ProbeFailed, Sample
from capfix_cli.captioners.base import Captioner
from capfix_cli.captioners.feature_captioner import reads_features
from capfix_cli.core.thresholds import FIT_MISFIT, FRONT_END_TIE
from capfix_cli.decoding.decode import EncodedBatch, decode
from capfix_cli.decoding.decoding_options import GREEDY
from capfix_cli.probes.array_scales import array_candidates
from capfix_cli.probes.captioner_variants import remembering
from capfix_cli.probes.front_end_candidates import (
    feature_candidates,
    rate_candidates,
    waveform_candidates,
)
from capfix_cli.probes.front_ends import FrontEnd, Statistics, describe_features
from capfix_cli.probes.geometry import separates
from capfix_cli.probes.listening import listen
from capfix_cli.probes.normalisation import Fit, expected_spread, measure_fit
from capfix_cli.probes.pair_scoring import Scorer
from capfix_cli.schemas.measured_values import Listening

FITTED = 96  # clips on which fit is measured at most: fewer differ from training by chance alone
QUICK_FIT = 16  # clips on which all are fitted, to find
REFITTED = 6  # that are fitted on all: what others are apart by is more than few clips err by
FINALISTS = 3  # that are listened to
QUICK = 12  # clips and
QUICK_CONTRAST = 6  # contrasts where all candidates must be listened to
CONTRAST = 11
FEWEST_CAPTIONS = 2  # of a dozen clips or more

References = Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Tried:
    """A front end that was tried.

    Attributes:
        front_end: which; None for the input as it is.
        misfit: to the first BatchNorm; None without one.
        listening: on the sample's clips; None where it was not listened to.
    """

    front_end: FrontEnd | None
    misfit: float | None
    listening: Listening | None = None

    @property
    def share(self) -> float:
        """Bits as a share of their ceiling."""
        heard = self.listening
        return 0.0 if heard is None else heard.deciding_share


@dataclass(frozen=True)
class Recovery:
    """What came of the search.

    Attributes:
        current: the input as it is.
        best: the front end that fits and listens best; None where the present one does.
        tried: those that were listened to, the best first.
        by: ``fit and listening`` or ``listening alone``.
    """

    current: Tried
    best: Tried | None
    tried: tuple[Tried, ...]
    by: str


def recover(
    captioner: Captioner,
    sample: Sample,
    seed: int,
    references: References | None,
    *,
    rates: bool,
    fitted: Sample | None = None,
    checkpoint: str = "",
) -> Recovery:
    """Search the usual front ends.

    Args:
        captioner: any; with BatchNorm statistics the search is by fit first.
        sample: clips with their files.
        seed: of contrast sets.
        references: clip name -> references, or None.
        rates: try other sample rates too, which reads the files again.
        checkpoint: path of the file that the captioner was made from, which may hold a scaler.
        fitted: clips that features are fitted on, of the training set at best; the sample if None.
    """
    captioner = remembering(captioner)
    told = fitted or sample
    listed = list_candidates(captioner, told, rates=rates, checkpoint=checkpoint)
    candidates = [None, *listed]
    try:
        tried = _fit_all(captioner, told, candidates)
        by = "fit and listening"
        fitting = [one for one in tried if one.misfit is not None]
        order = _by_fit(fitting)
        # What fits worse than the present one is not what training had, whatever it sounds like.
        most = (tried[0].misfit or 0.0) + FIT_MISFIT.value / 10
        order = [one for one in order if (one.misfit or 0.0) <= most]
        usual = [one for one in order if one.front_end is not None and not _fitted(one)]
        own = [one for one in order if _fitted(one)]
        # Where none of the usual ones fits as training's own would, the fitted one comes first.
        fits = bool(usual) and (usual[0].misfit or 0.0) < FIT_MISFIT.value
        chosen = [*usual[:FINALISTS], *own] if fits else [*own, *usual[:FINALISTS]]
    except ProbeFailed:
        by = "listening alone"
        # Each costs captions: two mistakes at once are left to those whose statistics tell.
        single = [c for c in candidates if c is None or c.features is None or c.waveform == 1.0]
        size = {"clips": QUICK, "contrast": QUICK_CONTRAST}
        quick = [
            _listen(captioner, sample, Tried(c, None), seed, references, **size) for c in single
        ]
        order = sorted(quick[1:], key=lambda one: -one.share)
        tried, chosen = quick, order[:FINALISTS]
    current = _listen(captioner, sample, tried[0], seed, references)
    heard = [_listen(captioner, sample, one, seed, references) for one in chosen]
    return Recovery(current, _best(heard, current), tuple(heard), by)


def _best(heard: Sequence[Tried], current: Tried) -> Tried | None:
    """Choose the best fit, or one that listens clearly more; None where neither beats the present.

    Args:
        heard: the best fit first.
        current: the input as it is.
    """
    best = None
    for one in heard:
        # What was fitted to the statistics need listen but a little more: it surely fits.
        more = FRONT_END_TIE.value / (4 if _fitted(one) else 1)
        if best is None or one.share > best.share + more:
            best = one
    return best if best is not None and _better(best, current) else None


def _better(one: Tried, current: Tried) -> bool:
    """Say whether a front end beats the present one: by ear, or by fit where ears tell no loss."""
    if one.share > current.share + FRONT_END_TIE.value:
        return True
    if one.misfit is None or current.misfit is None:
        return False
    gain = current.misfit - one.misfit
    fits = one.misfit < current.misfit / 2 or gain > FIT_MISFIT.value / 10
    return fits and one.share >= current.share - FRONT_END_TIE.value / 2


def list_candidates(
    captioner: Captioner, sample: Sample, *, rates: bool, checkpoint: str = ""
) -> list[FrontEnd]:
    """List every front end that can be tried on a captioner."""
    found: list[FrontEnd] = []
    if reads_features(captioner):
        if separates(captioner):
            found += array_candidates(captioner, _statistics(captioner, sample), checkpoint)
        return found
    if separates(captioner):
        known = _statistics(captioner, sample)
        found += feature_candidates(known)
    else:
        found += waveform_candidates()
    if rates and sample.clips:
        found += rate_candidates(captioner.sample_rate)
    return found


@torch.inference_mode()
def _statistics(captioner: Captioner, sample: Sample) -> Statistics:
    waveforms, lengths = sample.cropped(FITTED)
    features, _ = captioner.features(waveforms, lengths)
    expected = None
    try:
        first = measure_fit(captioner, _encoding(captioner, sample), first_only=True)[0]
        expected = expected_spread(captioner, first.layer)
    except ProbeFailed:
        pass
    return describe_features(features, expected, _ln_mel(waveforms, captioner, features))


def _ln_mel(waveforms: Tensor, captioner: Captioner, features: Tensor) -> Tensor | None:
    """Give a plain ln-mel, [B, frames, bands], with as many bands and frames."""
    if features.ndim != 3 or reads_features(captioner):
        return None
    from torchaudio.transforms import MelSpectrogram

    hop = max(1, waveforms.shape[1] // max(1, features.shape[1] - 1))
    mel = MelSpectrogram(
        captioner.sample_rate,
        n_fft=max(64, 2 * hop),
        hop_length=hop,
        n_mels=min(features.shape[2], hop // 2 or 1),
    )
    found: Tensor = mel(waveforms).clamp_min(1e-6).log()
    return found.transpose(1, 2)


def _encoding(captioner: Captioner, sample: Sample) -> Callable[[], object]:
    waveforms, lengths = sample.cropped(FITTED)
    return lambda: captioner.encode(waveforms, lengths)


def _changed(
    captioner: Captioner, sample: Sample, front: FrontEnd | None
) -> tuple[Captioner, Sample]:
    if front is None:
        return captioner, sample
    return front.apply(captioner), sample if front.rate is None else sample.at_rate(front.rate)


def _fit(captioner: Captioner, sample: Sample, front: FrontEnd | None) -> Tried:
    changed, heard = _changed(captioner, sample, front)
    fit: Fit = measure_fit(changed, _encoding(changed, heard), first_only=True)[0]
    misfit = fit.misfit
    return Tried(front, misfit if math.isfinite(misfit) else math.inf)


def _fit_all(
    captioner: Captioner, sample: Sample, candidates: Sequence[FrontEnd | None]
) -> list[Tried]:
    """Fit all on a few clips, and the present one, the fitted ones and the best on all of them.

    The others are left out: each costs features of all clips, read anew at other rates.
    """
    few = sample.first(QUICK_FIT)
    quick = [_fit(captioner, few, one) for one in candidates]
    if few is sample:
        return quick
    order = sorted(range(1, len(quick)), key=lambda place: quick[place].misfit or 0.0)
    again = {0, *order[:REFITTED], *(n for n, one in enumerate(quick) if _fitted(one))}
    return [_fit(captioner, sample, candidates[place]) for place in sorted(again)]


def _by_fit(tried: Sequence[Tried]) -> list[Tried]:
    """Order by fit; of those that fit about equally well the simpler comes first."""
    order = sorted(range(len(tried)), key=lambda place: (tried[place].misfit or 0.0, place))
    left = [p for p in order if not _fitted(tried[p])]
    fitted = [p for p in order if _fitted(tried[p])]
    best = tried[left[0]].misfit or 0.0
    near = [p for p in left if (tried[p].misfit or 0.0) <= best * 1.05 + 0.005]
    rest = [p for p in left if p not in near]
    ranked = [*sorted(near), *rest]
    return [tried[p] for p in (*ranked, *fitted)]


def _fitted(tried: Tried) -> bool:
    return tried.front_end is not None and tried.front_end.fitted


def _listen(
    captioner: Captioner,
    sample: Sample,
    tried: Tried,
    seed: int,
    references: References | None,
    *,
    clips: int = PROBED,
    contrast: int = CONTRAST,
) -> Tried:
    changed, heard = _changed(captioner, sample, tried.front_end)
    try:
        listening = listen_quickly(changed, heard, seed, references, clips=clips, contrast=contrast)
    except ProbeFailed:
        raise
    except (RuntimeError, ValueError):  # a front end that the network cannot take
        return tried
    return replace(tried, listening=listening)


@torch.inference_mode()
def listen_quickly(
    captioner: Captioner,
    sample: Sample,
    seed: int,
    references: References | None,
    *,
    clips: int = PROBED,
    contrast: int = CONTRAST,
) -> Listening | None:
    """Caption a sample greedily and measure listening on it.

    Returns:
        None where one or two captions are all that it says: no scoring is needed to call that deaf.
    """
    # A dozen clips first: whoever says one thing of them is deaf, and most that are tried are.
    for count in sorted({min(QUICK, clips), clips}):
        waveforms, lengths, names = sample.padded(count)
        chunk = EncodedBatch(names, captioner.encode(waveforms, lengths))
        captions = decode(captioner, chunk, GREEDY, seed)
        if len({caption.tokens for caption in captions}) <= FEWEST_CAPTIONS:
            return None
    return listen(captions, Scorer(captioner, [chunk]), seed, references, contrast)
