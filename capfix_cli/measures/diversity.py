"""How much captions differ between clips: what is counted in whole captions."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

Words = tuple[str, ...]


def expected_distinct(captions: Sequence[Words], size: int) -> float:
    """Share of distinct captions expected among ``size`` drawn without replacement (rarefaction).

    Exact: a caption said c times of N is missed with probability C(N - c, m) / C(N, m) (Hurlbert
    1971, Ecology 52). So diversity at different N can be compared at the same m.
    """
    total = len(captions)
    log_all = _log_choose(total, size)
    seen = sum(
        1.0 - (math.exp(_log_choose(total - count, size) - log_all) if total - count >= size else 0)
        for count in Counter(captions).values()
    )
    return seen / size


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
