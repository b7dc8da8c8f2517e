"""Every threshold that decides something: its value, unit and source, in one table.

Any stage may import this module, as it may ``errors.py``: it holds no code that
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
    "ours, calibrated by benchmarks/calibration/listening_threshold.py: captions below it, "
    "0.87 bits at most, name .06 to .27 of the events, those above it, 1.29 bits at least, .27 "
    "to .69 (constant: .12)",
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
SENTENCES_SHARE = Threshold(
    0.7,
    "share of captions that are sentences",
    "midpoint of published captioners (.96 and more) and two of course work whose captions loop "
    "(.36 and .43); people have .99",
)
ENDS_SELDOM = Threshold(
    0.01, "share of a word's uses", "ours: people end captions unfinished in 0 to 1 of a hundred"
)
WORD_SEEN = Threshold(
    50, "uses in references", "ours: a word that ends 1 % of its captions would be seen to"
)
TOO_LONG = Threshold(
    2.0, "of the longest reference", "ours: twice what the longest-winded of five people says"
)
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
TRIAL_PART = Threshold(
    0.25,
    "of a plain pass over 500 clips",
    "ours: ten trials then take about as long as that pass, since scoring known captions is "
    "quicker an operation than encoding; benchmarks/speed/diagnose_cost.py measures the whole",
)
SEARCH_FROM = Threshold(
    0.5,
    "of the listening that is needed",
    "ours, lenient: on three captioners in benchmarks/accuracy/decoding_strategies.py no "
    "setting of the search listened more than 1.04 times as much as the best that the tree "
    "tries first",
)
RAISE = Threshold(
    0.02,
    "of the scale",
    "ours: between the intervals; one caption in fifty, or .09 of 4.39 bits, is not worth a fix",
)
# What training data are judged by: benchmarks/calibration/training_data_bands.py measures people's
# captions of AudioCaps (49,274 for training, 4,875 and 2,475) and Clotho (19,195, 5,225 and 5,225).
TRAINING_EVENNESS_AT_100 = Threshold(
    0.92,
    "entropy over the log of the kinds of caption",
    "midpoint of people's files (.999 or more) and the same with one caption in place of three in "
    "ten (.84 and .85); 64 captions, each as common as the next, have .96",
)
TRAINING_WORD_SHARE = Threshold(
    0.55,
    "share of captions",
    "midpoint of people's files (.12 to .38) and the same drawn so that seven captions in ten are "
    "of one sound (.70 or more); of two sounds as common as each other each has .50",
)
ENGLISH_SHARE = Threshold(
    0.7, "share of captions with an English function word", "people's files have .96 or more"
)
EVERYWHERE_SHARE = Threshold(
    0.5, "share of distinct captions", "a word that half of them have carries one bit"
)
GENERIC_SHARE = Threshold(
    0.05,
    "share of captions",
    "ours: people have none, at most two in 49,274; one such caption in twenty is commoner than "
    "any caption of theirs (.008 at most)",
)
SINGLE_CAPTION_SHARE = Threshold(0.5, "share of clips", "ours: most clips are told in one way only")
MIN_SHIFT_ROWS = Threshold(30, "rows", "ours: fewer have no reliable standard error")
SHIFT_SIGMA = Threshold(
    5.0,
    "standard errors",
    "ours, by benchmarks/calibration/training_data_bands.py: sound and shuffled files reach "
    "3.4 at any offset (Clotho's names, ESC-10's sound); files shifted by a row 7.8 from 60 "
    "rows on, 21 from 1,000",
)
SIGNAL_DEAD = Threshold(
    1e-3,
    "share of between-clip variation",
    "ours, by benchmarks/accuracy/causes.py: every place of sound captioners is above .01, "
    "what constant memories leave is below .0001",
)
FRONT_END_TIE = Threshold(
    0.1,
    "of the scale of listening",
    "ours: about the standard error of listening on 32 clips, 1.5 bits / sqrt(32) of 3.5",
)
SHUFFLED_NAMES_SHARE = Threshold(
    0.5, "share of rows", "ours: Clotho's names tell in .77 to .84 of rows, YouTube's ids in .01"
)
SHUFFLED_NAMES = Threshold(
    200, "rows", "ours: names that say what is heard pass 11 standard errors by then (Clotho)"
)
COPY_CORRELATION = Threshold(
    0.99,
    "correlation of two clips' course in 8 bands and 48 stretches",
    "ESC-10: different recordings .984 at most; the same at another level, at half the sample rate "
    "or packed anew .99 or more in 97 % (benchmarks/calibration/training_data_bands.py)",
)
COPY_SECONDS = Threshold(0.1, "seconds", "ours: packing anew moves a clip's length by less")
COPIED_AUDIO_SHARE = Threshold(
    0.01, "share of clips", "ours: one clip in a hundred; ESC-10 has 1 pair among 400"
)
LOST_WORDS_SHARE = Threshold(
    0.10,
    "share of the captions' words",
    "above the .012 to .077 that a vocabulary of the words said five times or more loses of its "
    "own training file (495 to 49,274 clips)",
)
WORD_PIECES_SHARE = Threshold(
    0.05, "share of entries", "ours: vocabularies of words have none with the marks of word pieces"
)
MEMORISED_SHARE = Threshold(
    0.82,
    "of the way from people's share to all captions",
    "midpoint of healthy captioners (.53 to .64: CoNeTTE, a Whisper captioner, aac-metrics' sound "
    "example, all against AudioCaps) and one that copies every caption",
)
# Of the finders of causes (capfix_cli/diagnosis/finders). "Calibrated" ones were set on GRUs that
# hear the audio at every step or attend to it; a Transformer decoder and a small Whisper were held
# out whole. benchmarks/calibration/causes_figures.py prints the figures (docs/benchmarks.md).
_CALIBRATED = "ours, calibrated by benchmarks/accuracy/causes.py"
CAUSE_FROM = Threshold(0.5, "confidence", "ours: more likely than not")
PROVED_FROM = Threshold(
    0.5, "share of what is missing", "the design: a cause is proved by what restores most of it"
)
# How often such answers are right away from home: benchmarks/calibration/confidence.py, with each
# kind of fault judged by what the others say (docs/away-from-home.md).
_SHARE = "share right, by benchmarks/results/accuracy/confidence.json"
PROVED_RIGHT = Threshold(0.93, "confidence", f"{_SHARE}: causes proved")
UNFITTED_DECODING = Threshold(
    0.33,
    "confidence",
    "ours: a decoding that works where nothing tells that the input fits; four such answers of "
    "before front ends were searched for all who are ill were wrong, one of them on captioners "
    "that are not held out: 0 of 1, one right and one wrong answer added",
)
SUSPECTED_MOST = Threshold(0.25, "confidence", f"{_SHARE}: causes suspected")
REFUTED_MOST = Threshold(
    0.15, "confidence", f"{_SHARE}: causes suspected; below those whose mend was not yet tried"
)
EXPLAINED_MOST = Threshold(0.02, "confidence", f"{_SHARE}: causes that another explains")
DATA_PROVED = Threshold(
    0.6, "confidence", "ours: what training data show by themselves; fanciful file names give .5"
)
SOUND_LISTENING = Threshold(
    0.52,
    "share of the ceiling",
    "the least of three sound captioners on references (2.30 of 4.39 bits, SCIENCE section 8)",
)
FAINT_LISTENING = Threshold(
    0.6,
    "share of the ceiling",
    f"{_CALIBRATED}: sound captioners are at .64 to .76 on ESC-10, above .87 on synthesised sounds",
)
MOVED = Threshold(
    0.02,
    "of what another clip moves the next word",
    "ours: ten times what sums in another order can do, and a third of the smallest known defect",
)
RECAPTIONED = Threshold(
    0.2,
    "share of clips",
    "ours: sums in another order may turn one caption in twenty where two words are as likely; "
    "known defects (positions by batch row) turn most",
)
MOVED_NATS = Threshold(1e-4, "nats", "ours: above float32 noise of a distribution")
FIT_MISFIT = Threshold(
    1.0,
    "ln of variances, and deviations",
    "measured: .03 with the features of training, 1.67 with log10 for ln, 2.4 standardised "
    "(SCIENCE section 1); twice the spread of other recordings is .7",
)
SILENCE_FITS = Threshold(
    0.3,
    "deviations",
    "features as in training are within .03 to .3 of what a BatchNorm remembers; a network trained "
    "on silence has silence at .001 and clips at 9.1, a sound one silence at 1.8 "
    "(benchmarks/zoo/foreign, conv-pool)",
)
MEMORY_SHARE = Threshold(
    2e-3, "share of between-clip variation", f"{_CALIBRATED}: sound memories are above .05"
)
DEAF_NATS = Threshold(
    0.05,
    "nats a word",
    f"{_CALIBRATED}: swapping the clip moves a sound captioner's next word by over .5 on average",
)
LATER_SHARE = Threshold(
    0.1, "of the first words' KL", f"{_CALIBRATED}: sound captioners are above .5"
)
TELLS_ORDER = Threshold(0.2, "share of captions", "ours: fewer than a fifth may be turns of phrase")
TIME_SHARE = Threshold(
    0.05,
    "of what another clip moves the memory",
    f"{_CALIBRATED}: exchanging a clip's halves moves memories that keep time by over .3",
)
FLAT_ATTENTION = Threshold(
    0.98, "entropy / log T", f"{_CALIBRATED}: attention that chooses is below .9"
)
STILL_ATTENTION = Threshold(
    0.01, "total variation from word to word", f"{_CALIBRATED}: attention that moves is above .05"
)
BLIND_NATS = Threshold(
    0.05, "nats a word", f"{_CALIBRATED}: other words before move a sound decoder by over 1"
)
SHARPENED = Threshold(
    2.0,
    "temperature of least loss",
    "temperature scaling (arXiv 1706.04599): sound networks need 1 to 1.5 or so",
)
ENDLESS = Threshold(
    0.5, "share of captions", "ours: sound captioners end nearly all captions before the limit"
)
CUT_END = Threshold(0.5, "probability", "ours: where people go on, a sound decoder seldom ends")
CUT_BEFORE = Threshold(0.1, "probability", "ours: one that ends by count does not end before it")
STUCK_SHARE = Threshold(
    0.06, "share of clips", "ours: two of 32, so that it takes more than one pair of copies"
)
LOUDER = Threshold(0.9, "share of pairs", "ours: what overflows is what is loud; .5 by chance")
OPENS_MORE = Threshold(
    0.5, "share of captions", "ours: most captions differ and end that did not before"
)
HUGE_MEMORY = Threshold(
    1_000.0, "times the usual largest value", "ours: a sound network gives no clip such a memory"
)
FREED_SHARE = Threshold(
    0.5, "share of clips", "the design: a cause is proved by what restores most of what is missing"
)
FILE_MATCHED = Threshold(
    0.3, "share of parameters", "ours: a file that fills less holds another network"
)
NEVER_ENDS = Threshold(
    0.01, "probability", "ours: a decoder that was shown ends gives them more where people end"
)
SAME_TO_THE_BIT = Threshold(
    1e-12, "share of between-clip variation", "float32: what depends on the clip at all is above it"
)
SPECIAL_WORDS = Threshold(
    0.1, "share of captions", "ours: one caption in ten; people's captions hold no special tokens"
)
END_LIKELY = Threshold(
    0.1, "probability", "ours: where people end, a decoder that knows the end token gives it that"
)
WORDS_UNKNOWN = Threshold(
    0.3, "share of words", "ours: above it a reference cannot be spelled by its words"
)
OFF_NATS = Threshold(1.0, "nats a word", "ours: e times likelier words are no accident")
GUESSED_RIGHT = Threshold(
    0.1, "share of words", f"{_CALIBRATED}: a decoder with its own words guesses over .4 right"
)
RUNS_ASTRAY = Threshold(
    0.25, "share of pairs of words", f"{_CALIBRATED}: people and sound captioners are below .1"
)
HOPEFUL_NATS = Threshold(
    0.2, "nats a word", f"{_CALIBRATED}: below it no decoding made a captioner listen"
)
