"""Fix 1.2: Top-k sampling."""

from __future__ import annotations

from capfix_cli.fixes.fix_spec import DecodingFix, FixSetting, FixSpec
from capfix_cli.fixes.sampling_options import sampling

FIX = FixSpec(
    id="1.2",
    title="Top-k sampling",
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
    order=30,
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
    trials=(
        DecodingFix(
            fix="1.2", name="top-k-50", options=sampling(top_k=50), asked=("other-decoding",)
        ),
    ),
)
