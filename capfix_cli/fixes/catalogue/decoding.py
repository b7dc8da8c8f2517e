"""Category 1: how words are chosen from what the model already says; nothing is trained."""

from __future__ import annotations

from capfix_cli.fixes.fix_spec import CATEGORY_TITLES, Fix, FixSetting

_SAMPLING_CAUTION = (
    "Sampling makes a deaf model varied, not right: temperature 0.8 with top-p 0.9 raised distinct "
    "captions from .04 to .97 while the captions carried .25 of 4.39 bits about their clips "
    "(greedy: .19), and "
)
_OURS = "(our measurement, 200 synthetic two-event scenes)"

TEMPERATURE = Fix(
    id="1.1",
    title="Temperature sampling",
    category=1,
    category_title=CATEGORY_TITLES[1],
    aliases=("temperature", "temp"),
    what=(
        "Draws each word from the model's distribution where greedy decoding takes the likeliest. "
        "The logits are divided by the temperature first: above 1 flattens the odds, below 1 "
        "sharpens them."
    ),
    when="First, to learn in minutes whether the distribution holds more than its top word.",
    settings=(
        FixSetting(
            name="temperature",
            value="0.8",
            recommended="0.7-1.0",
            ranges=(
                ("0.1-0.5", "very conservative, close to greedy"),
                ("0.7-1.0", "recommended for captions; 0.7 where captions are merely bland"),
                ("1.0-1.5", "more inventive, more mistakes"),
                (">2.0", "mostly too random to read"),
            ),
        ),
    ),
    pros=(
        "Takes effect at once, without training",
        "A line of code",
        "Can be set clip by clip",
    ),
    cons=(
        "Turns to nonsense when set too high",
        "Leaves whatever is wrong inside the model as it is",
    ),
    impact="medium",  # no words in the document; 3 stars in its summary table
    effort="5 min",
    retrain=False,
    priority=1,
    snippet="""\
import torch


def sample_word(logits: torch.Tensor, temperature: float = 0.8) -> torch.Tensor:
    # [batch, words] logits -> [batch] word ids; temperature 0 is greedy.
    if temperature == 0:
        return logits.argmax(dim=-1)
    return torch.distributions.Categorical(logits=logits / temperature).sample()
""",
    caution=_SAMPLING_CAUTION + f"temperature 1.5 gave word salad at .04 bits {_OURS}.",
    source="the document, 1.1",
)

TOP_K = Fix(
    id="1.2",
    title="Top-k sampling",
    category=1,
    category_title=CATEGORY_TITLES[1],
    aliases=("top-k", "topk", "k"),
    what="Samples among the k likeliest words only; all others become impossible.",
    when="Together with a temperature, where sampling alone lets absurd words through.",
    settings=(
        FixSetting(
            name="top_k",
            value="50",
            recommended="40-60",
            ranges=(
                ("10-20", "very safe"),
                ("40-60", "recommended"),
                ("100+", "hardly a filter at all"),
            ),
        ),
    ),
    pros=(
        "Rules out the very unlikely words",
        "Easier to control than a temperature alone",
    ),
    cons=(
        "The same k serves sure and unsure moments alike",
        "Too small a k still repeats itself",
    ),
    # The document rates neither impact nor effort; ours: a weaker top-p at the same work.
    impact="medium",
    effort="10 min",
    retrain=False,
    priority=1,
    snippet="""\
import torch


def keep_top_k(logits: torch.Tensor, k: int = 50) -> torch.Tensor:
    # [..., words]: all but the k largest of each row become -inf (ties with the k-th stay).
    k = min(k, logits.shape[-1])
    smallest_kept = logits.topk(k, dim=-1).values[..., -1:]
    return logits.masked_fill(logits < smallest_kept, -torch.inf)
""",
    caution=(
        "As varied as people and yet no closer to its own input than to 19 others (hit@1 .05, "
        "chance .05): MAGIC's published top-k baseline on COCO, our count."
    ),
    source="the document, 1.2; Fan et al. 2018 (arXiv 1805.04833)",
)

TOP_P = Fix(
    id="1.3",
    title="Top-p (nucleus) sampling",
    category=1,
    category_title=CATEGORY_TITLES[1],
    aliases=("top-p", "topp", "nucleus", "nucleus sampling", "top-p sampling", "p"),
    what=(
        "Samples from the smallest set of likeliest words whose probabilities together reach p, "
        "so the set is small where the model is sure and large where it is not."
    ),
    when="First, with temperature 0.8; also the usual choice for captions in production.",
    settings=(
        FixSetting(
            name="top_p",
            value="0.9",
            recommended="0.9-0.95",
            ranges=(
                ("0.8-0.85", "conservative"),
                ("0.9-0.95", "recommended"),
                ("0.95-0.99", "more varied"),
            ),
        ),
    ),
    pros=(
        "Adapts to the moment: 5 words here, 50 there",
        "Beats top-k on most tasks",
        "What the industry uses",
    ),
    cons=("More to implement than top-k", "A little slower, as it sorts the words"),
    impact="medium-high",  # no words in the document; 5 stars in its summary table
    effort="10 min",
    retrain=False,
    priority=1,
    snippet="""\
import torch


def keep_nucleus(logits: torch.Tensor, p: float = 0.9) -> torch.Tensor:
    # [..., words]: all but the smallest set of likeliest words that reaches p become -inf.
    ranked, order = logits.softmax(dim=-1).sort(dim=-1, descending=True)
    # A word stays while those ranked before it hold less than p; so the first always stays.
    held_before = ranked.cumsum(dim=-1) - ranked
    stays = torch.zeros_like(logits, dtype=torch.bool)
    stays.scatter_(-1, order, held_before < p)
    return logits.masked_fill(~stays, -torch.inf)
""",
    caution=_SAMPLING_CAUTION + f"only .35 of the true events were named {_OURS}.",
    source="the document, 1.3; Holtzman et al. 2020 (arXiv 1904.09751)",
)

BEAM_SEARCH = Fix(
    id="1.4",
    title="Beam search",
    category=1,
    category_title=CATEGORY_TITLES[1],
    aliases=("beam", "beams", "num-beams"),
    what=(
        "Extends several candidate captions side by side and returns the one whose summed log "
        "probability is highest."
    ),
    when="When one best caption a clip is wanted, or captions differ but are bland.",
    settings=(
        FixSetting(
            name="num_beams",
            value="5",
            recommended="3-5",
            ranges=(
                ("3-5", "standard"),
                ("10+", "hardly better and very slow"),
            ),
        ),
    ),
    pros=(
        "Reads more coherently than samples",
        "Finds captions that are likelier as a whole",
        "Gives the same caption every time",
    ),
    cons=(
        "Can still repeat itself",
        "5 times slower with 5 beams",
        "Intricate to implement",
    ),
    impact="medium",  # no words in the document; 3 stars in its summary table
    effort="30 min",
    retrain=False,
    priority=1,
    snippet="""\
import torch


def beam_search(logits_of, bos: int, eos: int, num_beams: int = 5, max_length: int = 30):
    # logits_of: [n, T] prefixes -> [n, words]. Gives the ids of the likeliest caption found.
    live, scores, finished = torch.tensor([[bos]]), torch.zeros(1), []
    for _ in range(max_length):
        totals = scores[:, None] + logits_of(live).log_softmax(dim=-1)
        scores, flat = totals.flatten().topk(min(num_beams, totals.numel()))
        beam, word = flat // totals.shape[1], flat % totals.shape[1]
        live = torch.cat([live[beam], word[:, None]], dim=1)
        ended = (word == eos) & scores.isfinite()
        finished += zip(scores[ended].tolist(), live[ended].tolist())
        live, scores = live[word != eos], scores[word != eos]
        # Scores only fall: once the best finished caption leads, no live one can pass it.
        if not len(live) or (finished and max(finished)[0] >= scores.max()):
            break
    return max(finished or zip(scores.tolist(), live.tolist()))[1]
""",
    caution=(
        "Likeliest is not best heard: where the audio moves the word odds but every clip's "
        "likeliest caption is the same, beams hide it, and contrast (1.6) brings it out. On a "
        "sound model beams gave +1.6 SPIDEr points (arXiv 2009.11436)."
    ),
    source="the document, 1.4",
)

DIVERSE_BEAM_SEARCH = Fix(
    id="1.5",
    title="Diverse beam search",
    category=1,
    category_title=CATEGORY_TITLES[1],
    aliases=("diverse beam", "diverse beams", "dbs", "group beam search", "diversity-penalty"),
    what=(
        "Splits the beams into groups and makes each group pay for words that earlier groups "
        "chose at the same step."
    ),
    when="When several different captions of one clip are wanted.",
    settings=(
        # The document names no values; ours, from the paper's experiments.
        FixSetting(
            name="diversity_penalty",
            value="0.5",
            recommended="0.2-0.8",
            ranges=(
                ("0", "plain beam search, the groups agree"),
                ("0.2-0.8", "works on most tasks (arXiv 1610.02424)"),
                (">1.0", "later groups start to avoid fitting words"),
            ),
        ),
        FixSetting(
            name="num_beam_groups",
            value="5",
            recommended="as many groups as captions wanted",
            ranges=(("1", "plain beam search"), ("num_beams", "most varied: each beam a group")),
        ),
    ),
    pros=("Close to beam search in quality, and varied", "Gives several different captions a clip"),
    cons=(
        "Complex to implement",
        "Slower still than beam search",
        "Several settings to tune",
    ),
    # The document rates neither; ours: beam search's impact at about twice its work.
    impact="medium",
    effort="1 hour",
    retrain=False,
    priority=1,
    snippet="""\
import torch


def diverse_step(scores: torch.Tensor, log_probs: torch.Tensor, penalty: float = 0.5):
    # scores [groups, beams] and next-word log_probs [groups, beams, words] ->
    # (scores, which beam, which word), each [groups, beams]: how every group goes on.
    used, chosen = torch.zeros(log_probs.shape[-1]), []
    for group_scores, group_log_probs in zip(scores, log_probs, strict=True):
        totals = group_scores[:, None] + group_log_probs
        # The penalty steers the choice; the scores that are carried on stay free of it.
        flat = (totals - penalty * used).flatten().topk(len(group_scores)).indices
        beam, word = flat // totals.shape[1], flat % totals.shape[1]
        chosen.append((totals[beam, word], beam, word))
        used += torch.bincount(word, minlength=len(used))
    return tuple(torch.stack(part) for part in zip(*chosen, strict=True))
""",
    caution=(
        "It varies the captions of one clip among themselves; captions of different clips can "
        "stay the same, so judge it by captions across clips and by listening."
    ),
    source="the document, 1.5; Vijayakumar et al. 2016 (arXiv 1610.02424)",
)

CONTRASTIVE = Fix(
    id="1.6",
    title="Audio-contrastive decoding",
    category=1,
    category_title=CATEGORY_TITLES[1],
    aliases=("contrast", "contrastive", "contrastive decoding", "audio contrast", "acd", "vcd"),
    what=(
        "Scores each word by how much hearing the clip raises its log probability over hearing "
        "nothing in particular, among the words that the clip makes plausible."
    ),
    when="When the audio does move the word odds, only too little to change the chosen words.",
    settings=(
        FixSetting(
            name="contrast",
            value="1.0",
            recommended="0.5-1",
            ranges=(
                ("0", "off: the model's own odds"),
                ("0.5-1", "as published for images (arXiv 2311.16922)"),
                ("3", "most listening in our trial, with more repetition"),
            ),
        ),
        FixSetting(
            name="contrast_cutoff",
            value="0.1",
            recommended="0.1",
            ranges=(
                ("0", "off: any word may win, sense is lost"),
                ("0.1", "words with a tenth of the top word's probability or more"),
            ),
        ),
    ),
    pros=(
        "The one decoding fix that raises listening and not just variety",
        "Needs no training and no other model",
        "Goes with sampling as well as with beams",
    ),
    cons=(
        "Two passes of the decoder a word",
        "What stands for no audio decides: of four, silence and noise did harm in our trial",
    ),
    # Ours: it tripled to quintupled listening in the trial below, from very little.
    impact="medium-high",
    effort="30 min",
    retrain=False,
    priority=1,
    snippet="""\
import math

import torch


def contrast(heard: torch.Tensor, unheard: torch.Tensor, weight: float = 1.0, cutoff: float = 0.1):
    # Logits with and without the clip, both [..., words] -> scores; implausible words are -inf.
    heard, unheard = heard.log_softmax(dim=-1), unheard.log_softmax(dim=-1)
    scores = heard + weight * (heard - unheard)
    floor = heard.amax(dim=-1, keepdim=True) + (math.log(cutoff) if cutoff > 0 else -math.inf)
    return scores.masked_fill(heard < floor, -torch.inf)
""",
    caution=(
        "Listening rose from .19 to .68 bits at weight 1 and to .95 at weight 3, true events "
        f"named from .21 to .44 and .55, while distinct captions stayed at .07 and .13 {_OURS}. "
        "On ESC-10 weight 1 against the mean memory raised 1.58 to 1.99 bits and .10 to .26 "
        "distinct; silence and noise as no audio gave 1.04 and 1.39 bits, and the cut-off "
        "alone, of which gains can come (arXiv 2504.10020), changed nothing "
        "(benchmarks/decoding_strategies.py)."
    ),
    source=(
        "ours, after visual contrastive decoding (arXiv 2311.16922) and context-aware decoding "
        "(arXiv 2305.14739)"
    ),
)

RERANKING = Fix(
    id="1.7",
    title="Sample and rerank by listening",
    category=1,
    category_title=CATEGORY_TITLES[1],
    aliases=("rerank", "reranking", "best of n", "pmi", "mutual information"),
    what=(
        "Draws several captions of a clip and keeps the one that hearing the clip makes likelier "
        "by most: its log probability given the clip less that without it."
    ),
    when="When samples differ and some of them are right, which their likelihood does not tell.",
    settings=(
        FixSetting(
            name="num_candidates",
            value="8",
            recommended="8-50",
            ranges=(
                ("8", "enough in our trial"),
                ("50", "as the winner of DCASE 2023 drew (arXiv 2309.17352)"),
            ),
        ),
        FixSetting(
            name="rerank",
            value="listening",
            recommended="listening",
            ranges=(
                ("listening", "what only this clip explains"),
                ("likelihood", "the safest caption, which is often the commonest"),
                ("mbr", "what the candidates agree on"),
            ),
        ),
    ),
    pros=(
        "Raises diversity and listening together",
        "Needs no training and no other model",
    ),
    cons=(
        "As many captions decoded as candidates drawn",
        "Prefers rare wordings where many are equally right",
    ),
    # Ours, from the trial below.
    impact="medium-high",
    effort="30 min",
    retrain=False,
    priority=1,
    snippet="""\
import torch


def rerank(heard: torch.Tensor, unheard: torch.Tensor) -> torch.Tensor:
    # Log probabilities of [clips, candidates] captions, with and without the clip -> the best ones.
    return (heard - unheard).argmax(dim=-1)
""",
    caution=(
        "Best of 8 at temperature 0.8 raised distinct captions from .10 to .72, listening from "
        "1.58 to 1.92 bits and true events named from .33 to .38; by likelihood it gave .43 "
        "distinct at 1.57 bits (our measurement, benchmarks/decoding_strategies.py on ESC-10)."
    ),
    source="ours, after Li et al. 2016 (arXiv 1510.03055) and arXiv 2309.17352",
)

FIXES: tuple[Fix, ...] = (
    TEMPERATURE,
    TOP_K,
    TOP_P,
    BEAM_SEARCH,
    DIVERSE_BEAM_SEARCH,
    CONTRASTIVE,
    RERANKING,
)
