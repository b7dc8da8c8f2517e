"""What was measured of several decoding fixes at once, in words that they share."""

from __future__ import annotations

SAMPLING_CAUTION = (
    "Sampling makes a deaf model varied, not right: temperature 0.8 with top-p 0.9 raised distinct "
    "captions from .04 to .97 while the captions carried .25 of 4.39 bits about their clips "
    "(greedy: .19), and "
)
OURS = "(our measurement, 200 synthetic two-event scenes)"
