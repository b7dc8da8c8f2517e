"""Fix 5.1: dropout."""

from __future__ import annotations

from typing import TYPE_CHECKING

from capfix_cli.fixes.fix_spec import (
    AblatedForm,
    FixSetting,
    FixSpec,
    NetworkRewrite,
    Setup,
    Switch,
    change_encoder,
)
from capfix_cli.fixes.rewrites.inspection_values import Done, config_value
from capfix_cli.fixes.setting_rule import SettingRule, words

if TYPE_CHECKING:
    from capfix_cli.fixes.rewrites.architecture_names import ArchitectureNames
    from capfix_cli.fixes.rewrites.code_writing import Written
    from capfix_cli.schemas.inspection_record import Inspection


def _turn_on(setup: Setup) -> Setup:
    setup = setup.change("model", dropout=setup.model.dropout or 0.3)
    return change_encoder(setup, dropout=setup.model.encoder.dropout or 0.2)


def _write(found: ArchitectureNames) -> Written:
    from capfix_cli.fixes.rewrites.model_rewrites import dropout

    return dropout(found)


def _was_done(before: Inspection, after: Inspection) -> Done:
    rate = config_value(after, "config", "dropout") or config_value(after, "dropout")
    if isinstance(rate, int | float) and not isinstance(rate, bool):
        return Done(rate > 0, (f"its settings say dropout: {rate}",))
    return Done(
        None,
        ("dropout leaves no trace in weights: two passes in train mode differ where it is",),
    )


FIX = FixSpec(
    id="5.1",
    title="Dropout",
    aliases=("drop-out",),
    what=(
        "Silences random units while training, whole channels in the convolutions, so that no "
        "single one is relied on."
    ),
    when="When training loss falls and validation loss does not.",
    settings=(
        FixSetting(
            name="dropout",
            value="0.3",
            recommended="0.3-0.5",
            ranges=(("0", "off"), ("0.3-0.5", "recommended in the decoder")),
        ),
        FixSetting(
            name="encoder.dropout",
            value="0.2",
            recommended="0.2-0.3",
            ranges=(("0", "off"), ("0.2-0.3", "recommended in the CNN (Dropout2d)")),
        ),
    ),
    pros=("One line a layer", "Curbs overfitting"),
    cons=("Needs retraining", "Slower to converge", "Harms a model that underfits"),
    impact="medium",
    effort="1 line",
    retrain=True,
    priority=3,
    order=90,
    snippet="""\
from torch import nn


def conv_block(channels_in: int, channels_out: int, dropout: float = 0.2) -> nn.Sequential:
    # [batch, in, mels, frames] -> [batch, out, mels, frames]; drops whole channels.
    conv = nn.Conv2d(channels_in, channels_out, 3, padding=1)
    return nn.Sequential(conv, nn.BatchNorm2d(channels_out), nn.ReLU(), nn.Dropout2d(dropout))


def word_head(hidden: int, vocabulary: int, dropout: float = 0.3) -> nn.Sequential:
    # [..., hidden] decoder states -> [..., vocabulary] logits.
    return nn.Sequential(nn.Dropout(dropout), nn.Linear(hidden, vocabulary))
""",
    caution=(
        "Call model.eval() before captioning: dropout left on is noise that reads as diversity. A "
        "captioner that collapsed is seldom an overfitted one; look at its training loss first."
    ),
    source="the document, 5.1; Srivastava et al. 2014 (JMLR 15)",
    setting=SettingRule(
        names=words(
            "dropout p_dropout dropout_p dropout_rate drop_rate drop_prob dropout_prob "
            "encoder_dropout decoder_dropout dropout_encoder dropout_decoder "
            "dropout_p_encoder dropout_p_decoder attention_dropout "
            "activation_dropout classifier_dropout hidden_dropout "
            "hidden_dropout_prob attention_probs_dropout_prob emb_dropout embedding_dropout"
        ),
        low=0.2,
        high=0.5,
        wanted="0.2 to 0.3 in the encoder, 0.3 to 0.5 in the decoder (the document, 5.1)",
    ),
    switch=Switch(
        _turn_on,
        lambda setup: bool(setup.model.dropout or setup.model.encoder.dropout),
        "model.dropout",
        told="`model.dropout`, `model.encoder.dropout`",
        start="0.3, 0.2",
    ),
    rewrite=NetworkRewrite(
        write=_write,
        was_done=_was_done,
        code="hooks around your modules; saved names stay",
        trace="not in weights. Settings that say `dropout` count",
    ),
    ablated=(AblatedForm("dropout"),),
)
