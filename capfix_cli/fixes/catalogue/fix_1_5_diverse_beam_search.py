"""Fix 1.5: diverse beam search."""

from __future__ import annotations

from capfix_cli.decoding.decoding_options import DecodingOptions
from capfix_cli.fixes.fix_spec import DecodingFix, FixSetting, FixSpec

FIX = FixSpec(
    id="1.5",
    title="Diverse beam search",
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
    order=50,
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
    trials=(
        DecodingFix(
            fix="1.5",
            name="diverse-beam-6",
            # Half a nat for a word that another group took: the paper finds .2 to .8 to work.
            options=DecodingOptions(num_beams=6, num_beam_groups=3, diversity_penalty=0.5),
            asked=("other-decoding",),
        ),
    ),
)
