"""Vendi score: how many captions that share nothing would be as varied as these."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from capfix_cli.core.randomness import stream
from capfix_cli.measures.caption_tokens import Ints, Tokens
from capfix_cli.measures.corpus import Counted
from capfix_cli.measures.count_variance import half_interval
from capfix_cli.measures.intervals import Z
from capfix_cli.measures.ngrams import ngrams_of

Floats = NDArray[np.float64]

LONGEST = 2  # the kernel's n-grams: words and pairs of words
EXACT = 1000  # distinct captions up to which all eigenvalues are computed
MOST = 20_000  # captions; of more, so many are drawn
TRIED = 128  # captions that are taken away in turn, where there are more than EXACT
GRID = 120  # steps of an integral over the logarithm
STEPS = 25  # of Lanczos, each worth two more moments of the spectrum
TOP = 48  # directions that are taken exactly; the probes see only the rest
PROBES = 32
POWERS = 3  # products that find the top directions


@dataclass(frozen=True)
class Vendi:
    """The score, and how far it may be off.

    Attributes:
        value: the score, from 1 to N.
        half: half the 95 % interval of its logarithm, between draws of as many captions.
        sketch_error: standard error of its logarithm that comes of the sketch; 0 where exact.
        captions: of how many captions it is the score.
    """

    value: float
    half: float
    sketch_error: float
    captions: int


def kernel_features(tokens: Tokens, longest: int = LONGEST) -> sparse.csr_matrix:
    """Give features whose products are the kernel: the mean over n of the cosine of n-gram counts.

    Captions too short for an n-gram of n words have one n-gram in common, that of being so short,
    so that every caption's product with itself is 1.

    Returns:
        [captions, n-grams] sparse.
    """
    rows, columns, values = [], [], []
    width = 0
    for grams in ngrams_of(tokens, longest):
        norms = np.sqrt(grams.sum_by_caption(grams.count**2))
        rows += [grams.caption, np.flatnonzero(norms == 0)]
        columns += [
            width + grams.each(np.arange(len(grams))),
            np.full(int((norms == 0).sum()), width + len(grams)),
        ]
        values += [grams.count / norms[grams.caption], np.ones(int((norms == 0).sum()))]
        width += len(grams) + 1
    data = np.concatenate(values) / np.sqrt(longest)
    places = (np.concatenate(rows), np.concatenate(columns))
    return sparse.csr_matrix((data, places), shape=(len(tokens), width))


def vendi(counted: Counted, seed: int) -> Vendi:
    """Score captions: exactly up to 1,000 distinct ones, by a sketch above.

    Of more than 20,000 captions so many are drawn, and theirs is the score: it grows with N, and
    could not be compared otherwise either.
    """
    said = counted.said()
    if len(said) > MOST:
        said = np.sort(stream(seed, "vendi.captions").permutation(said)[:MOST])
    kinds, counts = np.unique(said, return_counts=True)
    features = kernel_features(counted.tokens.take(kinds))
    entropy, error = kernel_entropy(features, counts, seed)
    half = _entropy_half(features[np.repeat(np.arange(len(kinds)), counts)], seed)
    return Vendi(float(np.exp(entropy)), float(np.hypot(half, Z * error)), error, len(said))


def kernel_entropy(features: sparse.csr_matrix, counts: Ints, seed: int) -> tuple[float, float]:
    r"""Give the entropy of the kernel's eigenvalues, in nats, and the sketch's standard error.

    Vendi is exp(-sum l log l), l the eigenvalues of K / N (Friedman & Dieng, arXiv 2210.02410).
    Captions said c times are one row with weight c / N. Above 1,000 rows the trace of
    -K/N log(K/N) is estimated by stochastic Lanczos quadrature (Ubaru, Chen & Saad 2017): random
    signs as probes, ``STEPS`` products with the sparse features each. The part of the function
    that is linear has a known trace, so only -l log(N l) is left, which is 0 for captions that
    share nothing; and the directions of most weight are taken one by one (Meyer et al. 2021,
    Hutch++), so that the probes see little of it.

    Args:
        features: [captions, n-grams]; rows of length 1.
        counts: [captions] how often each was said.
        seed: of the probes.
    """
    size = int(counts.sum())
    weighted = sparse.diags_array(np.sqrt(counts / size)) @ features
    if weighted.shape[0] <= EXACT:
        values = np.linalg.eigvalsh((weighted @ weighted.T).toarray())
        values = values[values > 1e-15]
        return float(-(values @ np.log(values))), 0.0
    generator = stream(seed, "vendi.probes")
    weighted = weighted.tocsr()
    across = weighted.T.tocsr()
    rows = weighted.shape[0]
    top = generator.standard_normal((rows, TOP))
    for _ in range(POWERS):
        top = np.linalg.qr(weighted @ (across @ top))[0]
    rest = generator.choice([-1.0, 1.0], (rows, PROBES))
    rest -= top @ (top.T @ rest)
    traces = _quadrature(weighted, across, np.concatenate((top, rest), axis=1), size)
    probes = traces[TOP:]
    entropy = float(np.log(size) + traces[:TOP].sum() + probes.mean())
    return entropy, float(probes.std(ddof=1) / np.sqrt(PROBES))


def _quadrature(
    weighted: sparse.csr_matrix, across: sparse.csr_matrix, starts: Floats, size: int
) -> Floats:
    """Compute v^T f(A) v of each column v, f(l) = -l log(N l), A = weighted across."""
    lengths = np.linalg.norm(starts, axis=0)
    nodes, weights = _lanczos(weighted, across, starts / lengths)
    return np.asarray(-(weights * nodes * np.log(size * nodes)).sum(1) * lengths**2)


def _lanczos(
    weighted: sparse.csr_matrix, across: sparse.csr_matrix, now: Floats
) -> tuple[Floats, Floats]:
    """Give the spectrum of A = weighted across as each start sees it.

    Args:
        weighted: [rows, features].
        across: its transpose.
        now: [rows, starts] of length 1.

    Returns:
        [starts, STEPS] nodes, and their weights, which add up to 1.
    """
    before = np.zeros_like(now)
    diagonal, beside = np.zeros((2, STEPS, now.shape[1]))
    for step in range(STEPS):
        after = weighted @ (across @ now)
        after -= beside[step - 1] * before if step else 0.0
        diagonal[step] = np.einsum("ij,ij->j", after, now)
        after -= diagonal[step] * now
        beside[step] = np.linalg.norm(after, axis=0)
        before, now = now, after / np.maximum(beside[step], 1e-300)
    tridiagonal = np.zeros((now.shape[1], STEPS, STEPS))
    steps = np.arange(STEPS)
    tridiagonal[:, steps, steps] = diagonal.T
    tridiagonal[:, steps[1:], steps[:-1]] = beside[:-1].T  # eigh reads the lower half
    nodes, vectors = np.linalg.eigh(tridiagonal)
    return np.maximum(nodes, 1e-300), vectors[:, 0] ** 2


def _entropy_half(features: sparse.csr_matrix, seed: int) -> float:
    r"""Give half the 95 % interval of the entropy, between draws of as many captions.

    The entropy is log N - S/N, S = Tr K log K. Taking caption i away takes

    .. math:: \Delta_i = -\int_0^\infty \log \frac{p_i(s)}{s + 1} ds, \quad
              p_i(s) = 1 / [(K + s)^{-1}]_{ii}

    from S, exactly (p is what the determinant of K + s loses; integrate over s). The sum of squares
    of that counts what pairs add twice, the sum of squares of the slopes [K log K]_ii counts it
    half; where captions share much the two agree. The mean of their logarithms, three parts of the
    first to one of the second, covers best (simulated in

    Args:
        features: [captions, n-grams], a row for each caption said.
        seed: of the captions that are tried, where there are many.
    """
    size = int(features.shape[0])
    tried = np.arange(size)
    if size <= EXACT:
        nodes, vectors = np.linalg.eigh((features @ features.T).toarray())
        nodes, weights = np.maximum(nodes, 0.0)[None], vectors**2
    else:
        tried = np.sort(stream(seed, "vendi.tried").permutation(size)[:TRIED])
        starts = np.zeros((size, TRIED))
        starts[tried, np.arange(TRIED)] = 1.0
        nodes, weights = _lanczos(features, features.T.tocsr(), starts)
    logs = np.linspace(np.log(1e-10), np.log(1e3 * size), GRID)
    shifts = np.exp(logs)
    gained = np.empty((GRID, len(tried)))
    for row, shift in zip(gained, shifts, strict=True):
        row[:] = np.log((weights / (nodes + shift)).sum(1) * (shift + 1.0)) * shift
    steps = gained.sum(0) * (logs[1] - logs[0])
    slopes = (weights * nodes * np.log(np.maximum(nodes, 1e-300))).sum(1)
    variance = size * math.exp(0.75 * _log(steps.var()) + 0.25 * _log(slopes.var()))
    half = half_interval(variance, steps, np.ones(len(tried), np.int64), 2 * math.log(2))
    return half / size


def _log(value: float) -> float:
    return math.log(value) if value > 0 else -math.inf
