"""Category 3: how the model is trained."""

from __future__ import annotations

from capfix_cli.fixes.fix_spec import CATEGORY_TITLES, Fix, FixSetting

LABEL_SMOOTHING = Fix(
    id="3.1",
    title="Label smoothing",
    category=3,
    category_title=CATEGORY_TITLES[3],
    aliases=("smoothing", "label-smoothing"),
    what=(
        "Spreads a little of each target's probability over the other words, so that the model "
        "is not rewarded for ever more certainty."
    ),
    when="With any retraining; it costs nothing.",
    settings=(
        FixSetting(
            name="label_smoothing",
            value="0.1",
            recommended="0.05-0.15",
            ranges=(
                ("0.0", "off"),
                ("0.05-0.15", "recommended"),
                ("0.2+", "too much"),
            ),
        ),
    ),
    pros=("One argument of the loss", "Tempers overconfident predictions"),
    cons=("Needs retraining", "Loss values no longer compare with those of earlier runs"),
    impact="medium",
    effort="1 min",
    retrain=True,
    priority=2,
    snippet="""\
import torch
from torch.nn import functional


def caption_loss(logits: torch.Tensor, targets: torch.Tensor, pad: int, smoothing: float = 0.1):
    # logits [batch, T, words], targets [batch, T] -> the mean loss over words, padding left out.
    return functional.cross_entropy(
        logits.flatten(0, 1), targets.flatten(), ignore_index=pad, label_smoothing=smoothing
    )
""",
    caution=(
        "The DCASE 2024 baseline trains with 0.2 (SPIDEr-FL .294), so the upper limit depends on "
        "the system. Smoothing does not make a decoder listen."
    ),
    source="the document, 3.1; Szegedy et al. 2016 (arXiv 1512.00567)",
)

SCHEDULED_SAMPLING = Fix(
    id="3.2",
    title="Scheduled sampling",
    category=3,
    category_title=CATEGORY_TITLES[3],
    aliases=("scheduled", "exposure bias", "teacher forcing"),
    what=(
        "Feeds the model some of its own predictions in training, as it must do in use, where "
        "teacher forcing always feeds the true words (exposure bias)."
    ),
    when="When captions start well and drift: free-running loss well above teacher-forced loss.",
    settings=(
        FixSetting(
            name="scheduled_sampling",
            value="0% to 40%",
            recommended="from 0% to 30-50%, rising over the epochs",
            ranges=(
                ("0%", "at the start: true words only"),
                ("30-50%", "at the end: that share of predicted words"),
            ),
        ),
    ),
    pros=("Trains for the conditions of use", "No change to the model"),
    cons=("Needs retraining", "Two passes a batch, or word-by-word training", "A schedule to tune"),
    impact="medium-high",
    effort="1 hour",
    retrain=True,
    priority=3,
    snippet="""\
import torch


def sampling_share(epoch: int, epochs: int, final: float = 0.4) -> float:
    # Share of predicted words in this epoch (from 0): nothing at first, then evenly to final.
    return final * epoch / max(1, epochs - 1)


def mix_inputs(words: torch.Tensor, logits: torch.Tensor, share: float) -> torch.Tensor:
    # words [batch, T] are the true inputs, logits [batch, T, vocabulary] a first pass on them;
    # the prediction at one place is the input of the next, and the begin token always stays.
    predicted = torch.cat([words[:, :1], logits[:, :-1].argmax(dim=-1)], dim=1)
    swapped = torch.rand(words.shape, device=words.device) < share
    return torch.where(swapped, predicted, words)
""",
    caution=(
        "Its objective is biased: pushed far, it favours words that fit their position over words "
        "that fit the caption (arXiv 1511.05101), which is no way to make a decoder listen."
    ),
    source="the document, 3.2; Bengio et al. 2015 (arXiv 1506.03099)",
)

DIVERSITY_LOSS = Fix(
    id="3.3",
    title="Diversity loss",
    category=3,
    category_title=CATEGORY_TITLES[3],
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
)

AUGMENTATION = Fix(
    id="3.4",
    title="Data augmentation",
    category=3,
    category_title=CATEGORY_TITLES[3],
    aliases=("augmentation", "augment", "specaugment", "spec-augment"),
    what=(
        "Shows the model altered audio (stretched, shifted, noisy, partly masked) and captions in "
        "other words, so that it cannot learn the clips by heart."
    ),
    when="When training data are few and validation lags behind training.",
    settings=(
        FixSetting(
            name="time_stretch",
            value="0.9-1.1",
            recommended="0.8-1.2",
            ranges=(("0.8-1.2", "times the speed"),),
        ),
        FixSetting(
            name="pitch_shift",
            value="1",
            recommended="within 2 semitones",
            ranges=(("-2 to +2", "semitones"),),
        ),
        # The document gives no mask sizes; ours, on 64 mel bands.
        FixSetting(
            name="spec_augment",
            value="8 mel bands, 10 % of the frames",
            recommended="SpecAugment: one frequency mask and one time mask",
            ranges=(("8 of 64 mel bands", "at most"), ("10 % of the frames", "at most")),
        ),
    ),
    pros=("More variety without new recordings", "SpecAugment needs no audio library"),
    cons=("Needs retraining", "Slower epochs", "Paraphrases have to be written or generated"),
    impact="medium-high",
    effort="medium-high",
    retrain=True,
    priority=3,
    snippet="""\
import torch


def spec_augment(mels: torch.Tensor, bands: int = 8, frames: float = 0.1) -> torch.Tensor:
    # [batch, mels, frames] -> the same with one stretch of up to `bands` mel bands and one of up
    # to that share of the frames masked in each clip, by the clip's own mean.
    _, height, length = mels.shape
    fill = mels.mean(dim=(1, 2), keepdim=True)

    def stretch(size: int, widest: int) -> torch.Tensor:
        width = torch.randint(0, widest + 1, (len(mels), 1), device=mels.device)
        start = (torch.rand(len(mels), 1, device=mels.device) * (size - width + 1)).long()
        place = torch.arange(size, device=mels.device)
        return (place >= start) & (place < start + width)

    masked = stretch(height, bands)[:, :, None] | stretch(length, int(frames * length))[:, None]
    return torch.where(masked, fill, mels)
""",
    caution=(
        "Alter only what the caption does not mention: a stretched clip is no longer a fast one. "
        "Mixup, not in the document, gave +.8 SPIDEr points (arXiv 2009.11436)."
    ),
    source="the document, 3.4; SpecAugment (arXiv 1904.08779)",
)

CURRICULUM = Fix(
    id="3.5",
    title="Curriculum learning",
    category=3,
    category_title=CATEGORY_TITLES[3],
    aliases=("curriculum",),
    what="Trains on short, easy captions first and adds longer ones as the epochs go by.",
    when="With very large models or data sets, where training is slow to take hold.",
    settings=(
        # The epochs are the document's; the limits in words are ours, for Clotho's 8 to 20.
        FixSetting(
            name="curriculum",
            value="10, 14 words, then all",
            recommended="short, then medium, then all captions",
            ranges=(
                ("epochs 1-10", "short captions only"),
                ("epochs 11-20", "medium ones too"),
                ("epochs 21+", "all captions"),
            ),
        ),
    ),
    pros=("Steadier start", "No change to the model"),
    cons=("Needs retraining", "More epochs until all data were seen"),
    impact="low-medium",
    effort="medium",
    retrain=True,
    priority=3,
    snippet="""\
def captions_for(epoch: int, captions: list[str], short: int = 10, medium: int = 14) -> list[str]:
    # The captions to train on in this epoch, counted from 1; short and medium are in words.
    if epoch > 20:
        return captions
    longest = short if epoch <= 10 else medium
    return [caption for caption in captions if len(caption.split()) <= longest]
""",
    caution=(
        "Short captions tend to be the generic ones; check that the first stage does not teach "
        "the very favourite caption that you want to be rid of."
    ),
    source="the document, 3.5; Bengio et al. 2009 (ICML)",
)

LISTENING_OBJECTIVE = Fix(
    id="3.6",
    title="Listening objective",
    category=3,
    category_title=CATEGORY_TITLES[3],
    aliases=("listening loss", "contrastive loss", "contrastive training", "infonce"),
    what=(
        "Adds to the loss that each caption must be likelier with its own audio than with that of "
        "other clips of the batch: what capfix measures as listening becomes what is trained."
    ),
    when="When captions differ or the loss falls and the audio still does not decide them.",
    settings=(
        FixSetting(
            name="listening_weight",
            value="0.3",
            recommended="0.1-1",
            ranges=(
                ("0", "off"),
                ("0.1-1", "beside the words' own loss"),
                ("10+", "captions tell clips apart and are no sentences any more"),
            ),
        ),
        FixSetting(
            name="listening_negatives",
            value="3",
            recommended="2-5",
            ranges=(
                ("1", "one other clip; at most .69 nats to learn from"),
                ("2-5", "recommended; each costs one more pass of the decoder"),
            ),
        ),
    ),
    pros=("Trains what is missing, by name", "No change to the model"),
    cons=(
        "Needs retraining",
        "As many more passes of the decoder as negatives",
        "Clips that sound alike push each other apart",
    ),
    # Ours, until benchmarks/ablation.py is in.
    impact="medium-high",
    effort="30 min",
    retrain=True,
    priority=3,
    snippet="""\
import torch
from torch.nn import functional


def listening_loss(scores: torch.Tensor) -> torch.Tensor:
    # scores [batch, 1 + others]: ln p(caption | clip), the caption's own clip first.
    own = torch.zeros(len(scores), dtype=torch.long, device=scores.device)
    return functional.cross_entropy(scores, own)
""",
    caution=(
        "It cannot give a decoder what its encoder has thrown away: with time pooled it learns to "
        "tell clips apart by what is left (fix 2.1 first)."
    ),
    source="ours, by InfoNCE (arXiv 1807.03748) over captions",
)

FIXES: tuple[Fix, ...] = (
    LABEL_SMOOTHING,
    SCHEDULED_SAMPLING,
    DIVERSITY_LOSS,
    AUGMENTATION,
    CURRICULUM,
    LISTENING_OBJECTIVE,
)
