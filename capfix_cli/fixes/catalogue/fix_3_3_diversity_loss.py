"""Fix 3.3: diversity loss."""

from __future__ import annotations

import math

from capfix_cli.fixes.fix_spec import AblatedForm, FixSetting, FixSpec, training_switch
from capfix_cli.fixes.setting_rule import SettingRule, words

FIX = FixSpec(
    id="3.3",
    title="Diversity loss",
    aliases=("diversity", "repetition loss", "repeat penalty"),
    what="Adds a penalty to the loss for giving the same word again and again.",
    when="When captions stutter, repeating a word within themselves.",
    settings=(
        # The document names alpha without values; ours.
        FixSetting(
            name="alpha",
            value="0.1",
            recommended="as small as stops the repeats",
            ranges=(("0", "off"), ("0.1", "a start"), ("too high", "hurts the captions")),
        ),
    ),
    pros=("Aims at repeats directly", "A few lines"),
    cons=("Needs retraining", "Hurts caption quality where alpha is too high"),
    impact="low-medium",
    effort="low-medium",
    retrain=True,
    priority=3,
    order=60,
    snippet="""\
import torch


def repeat_penalty(logits: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
    # logits [batch, T, words], real [batch, T] (False at padding) -> the mean probability that
    # a word drawn at one place is drawn again at the next. Unlike a count, it has a gradient.
    odds = logits.softmax(dim=-1)
    again = (odds[:, 1:] * odds[:, :-1]).sum(dim=-1)
    pairs = (real[:, 1:] & real[:, :-1]).float()
    return (again * pairs).sum() / pairs.sum().clamp(min=1)


def total_loss(words_loss, logits: torch.Tensor, real: torch.Tensor, alpha: float = 0.1):
    return words_loss + alpha * repeat_penalty(logits, real)
""",
    caution=(
        "It works within one caption; the same caption for every clip has no penalty to pay. A "
        "count of repeats has no gradient and trains nothing: use expected repeats, as here, or "
        "unlikelihood (arXiv 1908.04319)."
    ),
    source="the document, 3.3",
    setting=SettingRule(
        names=words(
            "diversity_alpha diversity_loss diversity_weight diversity_loss_weight "
            "unlikelihood_alpha unlikelihood_weight use_unlikelihood"
        ),
        low=0.0,
        high=math.inf,
        wanted="any (the document, 3.3)",
        switch=True,
    ),
    switch=training_switch(
        "diversity_alpha",
        0.1,
        told=("`training.diversity_alpha`, held to 1; `diversity_form: repeats` or `unlikelihood`"),
        start="0.1",
    ),
    ablated=(
        AblatedForm("diversity loss, repeats"),
        AblatedForm(
            "diversity loss, unlikelihood", {"training": {"diversity_form": "unlikelihood"}}
        ),
    ),
    asked_for_degenerate="captions are no sentences: it penalises words said again",
)
