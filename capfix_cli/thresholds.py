"""Every threshold that decides something: its value, unit and source, in one table.

Any stage may import this module, as it may ``records.py`` and ``errors.py``: it holds no code that
decides, only the numbers, so that a reader can find and question all of them in one place.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Threshold:
    """One number that decides something.

    Attributes:
        value: the number.
        unit: what it counts.
        source: where it comes from.
    """

    value: float
    unit: str
    source: str


_BANDS = (
    "midpoint of the bands 'partial' and 'healthy' seen at N=100 over some 60 published "
    "captioner outputs"
)

MIN_CLIPS = Threshold(20, "clips", "the design: no verdict from fewer")
CONTRAST_SET = Threshold(21, "clips", "own clip and 20 others, as in the published measurements")
LISTENING_SHARE = Threshold(
    0.25,
    "share of the ceiling",
    "ours, calibrated by benchmarks/listening_threshold.py: captions below it, 0.87 bits at most, "
    "name .06 to .27 of the events, those above it, 1.29 bits at least, .27 to .69 (constant: .12)",
)
JUDGED_AT = Threshold(100, "captions", "the bands are known at N=100; more are rarefied to it")
DISTINCT_AT_100 = Threshold(0.72, "share of captions", f"{_BANDS} (.61 and .83)")
ENTROPY_AT_100 = Threshold(0.885, "share of log2 N", f"{_BANDS} (.85 and .92)")
_GRAVE = "midpoint of the bands 'collapsed' and 'partial' seen at N=100 over the same outputs"
GRAVE_DISTINCT_AT_100 = Threshold(0.385, "share of captions", f"{_GRAVE} (.31 and .46)")
GRAVE_ENTROPY_AT_100 = Threshold(0.665, "share of log2 N", f"{_GRAVE} (.63 and .70)")
IDENTIFICATION = Threshold(
    0.265,
    "share of captions that find their clip among 20",
    "midpoint of collapsed (.04 to .17) and healthy (.36 to .59) published outputs; chance .05",
)
PEOPLE_IDENTIFICATION = Threshold(
    0.73,
    "share of captions that find their clip among 20",
    "people's captions find .74 (Clotho) and .72 (AudioCaps); where they find less, less is asked",
)
# (N, distinct captions) of a healthy captioner, CoNeTTE on Clotho, as N falls.
HEALTHY_DISTINCT = ((20, 1.00), (50, 0.97), (100, 0.93), (200, 0.90), (500, 0.81))
SILENT_PEAK = Threshold(2**-15, "of full scale", "one step of 16-bit audio: digital silence")
SILENT_SHARE = Threshold(
    0.5, "share of files", "ours: most of the folder must be audible to speak for the captioner"
)
TIE = Threshold(1e-4, "nats", "ours: above float32 noise of a caption's score, below any signal")
LENGTH_CHANGE = Threshold(
    0.5, "share", "ours: half or double the greedy length is another kind of caption"
)
REPEATS_RISE = Threshold(0.1, "share of captions", "ours: one caption in ten newly repeats itself")
NO_END_RISE = Threshold(0.1, "share of captions", "ours: one caption in ten newly has no end")
FLUENCY_LOSS = Threshold(
    1.0,
    "nats a token",
    "ours: on average a token e times less likely than those the captioner draws by itself",
)
BATCH_TOLERANCE = Threshold(
    1e-3,
    "share of the scores' spread over words",
    "ours: sums in another order move the float32 scores of the captioners in tests/ by 1e-5 at "
    "most; the known defects (positions by batch row, unmasked padding) move them by over 1e-2",
)
TRIAL_BUDGET = Threshold(
    1.5e12,
    "floating-point operations",
    "ours: less than ten seconds of a trial on two cores at 200 gigaflops; a captioner of the size "
    "of Whisper-tiny is then tried on 64 clips, capfix's own on all 256",
)
SEARCH_FROM = Threshold(
    0.5,
    "of the listening that is needed",
    "ours, lenient: on three captioners in benchmarks/decoding_strategies.py no setting of the "
    "search listened more than 1.04 times as much as the best that the tree tries first",
)
RAISE = Threshold(
    0.02,
    "of the scale",
    "ours: between the intervals; one caption in fifty, or .09 of 4.39 bits, is not worth a fix",
)
