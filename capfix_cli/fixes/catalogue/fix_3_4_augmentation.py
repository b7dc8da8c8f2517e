"""Fix 3.4: data augmentation."""

from __future__ import annotations

import math

from capfix_cli.fixes.fix_spec import AblatedForm, FixSetting, FixSpec, Setup, Switch
from capfix_cli.fixes.setting_rule import SettingRule, words


def _turn_on(setup: Setup) -> Setup:
    """The catalogue's masks, altered copies, and a little mixup."""
    return setup.change(
        "augmentation",
        variants=3,
        time_stretch=0.2,
        pitch_semitones=2.0,
        noise_share=0.5,
        noise_snr=20.0,
        mask_bands=8,
        mask_frames=0.1,
    )


FIX = FixSpec(
    id="3.4",
    title="Data augmentation",
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
    order=30,
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
    setting=SettingRule(
        names=words(
            "specaugment spec_augment specaug spec_aug use_specaug use_spec_augment "
            "use_specaugment mixup mixup_alpha use_mixup mix_up augmentation augment "
            "augmentations use_augmentation data_augmentation time_mask time_mask_param "
            "freq_mask freq_mask_param mask_time_prob mask_feature_prob "
            "time_stretch pitch_shift time_drop_width freq_drop_width"
        ),
        low=0.0,
        high=math.inf,
        wanted="any (the document, 3.4)",
        blocks=words(
            "specaugment spec_augment specaug spec_aug mixup augmentation augment augmentations"
        ),
        switch=True,
        words_count=True,
    ),
    switch=Switch(
        _turn_on,
        lambda setup: bool(setup.augmentation.in_words()),
        "augmentation",
        told="section `augmentation`, below",
    ),
    ablated=(
        AblatedForm(
            "SpecAugment", {"augmentation": {"mask_bands": 8, "mask_frames": 0.1}}, alone=True
        ),
        AblatedForm(
            "altered copies",
            {
                "augmentation": {
                    "variants": 2,
                    "time_stretch": 0.2,
                    "pitch_semitones": 2.0,
                    "noise_share": 0.5,
                    "noise_snr": 20.0,
                }
            },
            alone=True,
        ),
        AblatedForm("mixup", {"augmentation": {"mixup": 0.4}}, alone=True),
        AblatedForm("synonyms", {"augmentation": {"synonyms": 0.3}}, alone=True),
    ),
)
