"""Category 5: keep training from learning by heart or blowing up."""

from __future__ import annotations

from capfix_cli.fixes.fix_spec import CATEGORY_TITLES, Fix, FixSetting

DROPOUT = Fix(
    id="5.1",
    title="Dropout",
    category=5,
    category_title=CATEGORY_TITLES[5],
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
)

WEIGHT_DECAY = Fix(
    id="5.2",
    title="Weight decay",
    category=5,
    category_title=CATEGORY_TITLES[5],
    aliases=("decay", "adamw", "l2"),
    what="Pulls every weight a little towards zero at each step.",
    when="With any retraining, as a mild guard against overfitting.",
    settings=(
        FixSetting(
            name="weight_decay",
            value="1e-4",
            recommended="1e-4",
            ranges=(
                ("0", "off"),
                ("1e-4", "recommended, with AdamW"),
                ("2", "the DCASE 2024 baseline, at learning rate 5e-4 and 400 epochs"),
            ),
        ),
    ),
    pros=("One parameter of the optimizer", "No cost in time"),
    cons=("Needs retraining", "Small effect"),
    impact="low-medium",
    effort="1 parameter",
    retrain=True,
    priority=3,
    snippet="""\
import torch
from torch import nn


def make_optimizer(model: nn.Module, lr: float = 5e-4, decay: float = 1e-4) -> torch.optim.AdamW:
    # Matrices and kernels decay; biases and normalisation scales, which are vectors, do not.
    weights = [w for w in model.parameters() if w.requires_grad and w.ndim > 1]
    vectors = [w for w in model.parameters() if w.requires_grad and w.ndim <= 1]
    groups = [{"params": weights, "weight_decay": decay}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=lr)
""",
    caution=(
        "The useful size depends on the learning rate and the length of training: the DCASE 2024 "
        "baseline uses 2, twenty thousand times the recommended value, at SPIDEr-FL .294."
    ),
    source="the document, 5.2; Loshchilov and Hutter 2019 (arXiv 1711.05101)",
)

CLIPPING = Fix(
    id="5.3",
    title="Gradient clipping",
    category=5,
    category_title=CATEGORY_TITLES[5],
    aliases=("clipping", "clip", "clip-grad", "grad-clip"),
    what="Scales the gradient down wherever its norm exceeds a limit, against unstable training.",
    when="With any recurrent decoder, and whenever the loss jumps or turns to NaN.",
    settings=(
        FixSetting(
            name="gradient_clip",
            value="5.0",
            recommended="5.0",
            ranges=(
                ("1", "the DCASE 2024 baseline"),
                ("5.0", "recommended"),
            ),
        ),
    ),
    pros=("One line before the optimizer's step", "Prevents training from blowing up"),
    cons=("Needs retraining", "Too low a limit slows learning down"),
    impact="medium",
    effort="1 line",
    retrain=True,
    priority=3,
    snippet="""\
import torch
from torch import nn


def clipped_step(loss: torch.Tensor, model: nn.Module, optimizer, max_norm: float = 5.0) -> float:
    # One training step; gives the gradient's norm before clipping, which is worth logging.
    optimizer.zero_grad()
    loss.backward()
    norm = nn.utils.clip_grad_norm_(model.parameters(), max_norm, error_if_nonfinite=True)
    optimizer.step()
    return float(norm)
""",
    caution=(
        "A norm above the limit at every step can mean a learning rate that is too high, a "
        "confirmed cause of one caption for everything in public threads; clipping hides it, so "
        "log the norm."
    ),
    source="the document, 5.3; Pascanu et al. 2013 (arXiv 1211.5063)",
)

FIXES: tuple[Fix, ...] = (DROPOUT, WEIGHT_DECAY, CLIPPING)
