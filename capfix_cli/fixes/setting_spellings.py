"""How training settings are spelled in the field, and which values count as done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Rule:
    """One fix's settings.

    Attributes:
        fix: id in the catalogue; ``schedule`` and ``learning-rate`` are none of it.
        names: spellings of the key that holds the value.
        blocks: spellings of a mapping all of whose values speak of the fix.
        low: least value that counts as done.
        high: largest.
        wanted: the range in words, with its source.
        block_keys: which keys inside a block speak of it; all of them where this is empty.
        idle: texts that mean "not used" here beside the usual ones.
        low_unknown: whether a value below the range says nothing (the last of a schedule).
        switch: whether any value above 0 counts: sizes then say nothing.
        words_count: whether a text that is not "none" counts (a schedule's name).
    """

    fix: str
    names: frozenset[str]
    low: float
    high: float
    wanted: str
    blocks: frozenset[str] = frozenset()
    switch: bool = False
    words_count: bool = False
    block_keys: frozenset[str] = frozenset()
    idle: frozenset[str] = frozenset()
    low_unknown: bool = False

    def speaks(self, keys: Sequence[str]) -> bool:
        """Say whether a setting at these keys is of this fix."""
        if keys[-1] in self.names:
            return True
        inside = any(key in self.blocks for key in keys[:-1])
        return inside and (not self.block_keys or keys[-1] in self.block_keys)


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Read in public training configs (DCASE baselines 2020 to 2024, ACT, AudioCaption, a Whisper
# captioner), in the arguments of Lightning's Trainer and in transformers' TrainingArguments.
SWITCHES = _names("use enabled enable active apply")
TEACHER_FORCING = _names("teacher_forcing_ratio teacher_forcing_prob teacher_forcing tf_ratio")
RULES: tuple[Rule, ...] = (
    Rule(
        "3.1",
        _names(
            "label_smoothing label_smoothing_factor label_smooth smoothing ls ls_eps lsr "
            "smooth_eps label_smoothing_eps smoothing_eps label_smoothing_epsilon "
            "label_smoothing_ratio"
        ),
        0.05,
        0.2,
        "0.05 to 0.15 (the document, 3.1), or the DCASE 2024 baseline's 0.2",
    ),
    Rule(
        "3.2",
        _names(
            "scheduled_sampling scheduled_sampling_prob scheduled_sampling_rate ss_prob "
            "scheduled_sampling_ratio scheduled_sampling_final ss_rate scheduled_sampling_max_prob"
        )
        | TEACHER_FORCING,
        0.3,
        0.5,
        "30 to 50 % at the end (the document, 3.2)",
        blocks=_names("scheduled_sampling"),
        # Whether a "ratio" is of true or of predicted words differs by program: the switch counts.
        block_keys=SWITCHES | _names("final_share prob rate"),
    ),
    Rule(
        "3.3",
        _names(
            "diversity_alpha diversity_loss diversity_weight diversity_loss_weight "
            "unlikelihood_alpha unlikelihood_weight use_unlikelihood"
        ),
        0.0,
        float("inf"),
        "any (the document, 3.3)",
        switch=True,
    ),
    Rule(
        "3.4",
        _names(
            "specaugment spec_augment specaug spec_aug use_specaug use_spec_augment "
            "use_specaugment mixup mixup_alpha use_mixup mix_up augmentation augment "
            "augmentations use_augmentation data_augmentation time_mask time_mask_param "
            "freq_mask freq_mask_param mask_time_prob mask_feature_prob "
            "time_stretch pitch_shift time_drop_width freq_drop_width"
        ),
        0.0,
        float("inf"),
        "any (the document, 3.4)",
        blocks=_names(
            "specaugment spec_augment specaug spec_aug mixup augmentation augment augmentations"
        ),
        switch=True,
        words_count=True,
    ),
    Rule(
        "3.5",
        _names("curriculum curriculum_learning use_curriculum curriculum_type"),
        0.0,
        float("inf"),
        "any (the document, 3.5)",
        switch=True,
        words_count=True,
    ),
    Rule(
        "4.3",
        _names(
            "captions_per_clip captions_per_audio num_captions n_captions num_captions_per_audio "
            "use_all_captions all_captions captions_per_sample"
        ),
        2,
        float("inf"),
        "more than 1 caption a clip (the document, 4.3)",
    ),
    Rule(
        "5.1",
        _names(
            "dropout p_dropout dropout_p dropout_rate drop_rate drop_prob dropout_prob "
            "encoder_dropout decoder_dropout dropout_encoder dropout_decoder "
            "dropout_p_encoder dropout_p_decoder attention_dropout "
            "activation_dropout classifier_dropout hidden_dropout "
            "hidden_dropout_prob attention_probs_dropout_prob emb_dropout embedding_dropout"
        ),
        0.2,
        0.5,
        "0.2 to 0.3 in the encoder, 0.3 to 0.5 in the decoder (the document, 5.1)",
    ),
    Rule(
        "5.2",
        _names("weight_decay wd l2 l2_reg weightdecay l2_penalty"),
        1e-5,
        2.0,
        "1e-4 (the document, 5.2), from a tenth of it to the DCASE 2024 baseline's 2",
    ),
    Rule(
        "5.3",
        _names(
            "gradient_clip_val gradient_clip gradient_clipping clip_grad grad_clip max_grad_norm "
            "clip_grad_norm grad_clip_norm clip_norm grad_norm_clip max_norm gradient_clip_norm "
            "grad_clip_val clip_gradient clip_value gradclip grad_norm"
        ),
        1e-3,
        10.0,
        "5 (the document, 5.3), to twice that; published baselines clip at 1",
        blocks=_names("grad_norm clip_grad grad_clip gradient_clip gradient_clipping"),
        block_keys=SWITCHES | _names("value max_norm clip_value"),
    ),
    Rule(
        "schedule",
        _names(
            "lr_scheduler lr_scheduler_type scheduler scheduler_type lr_schedule schedule "
            "warmup_steps warmup_ratio warmup_epochs warmup warmup_iters"
        ),
        0.0,
        float("inf"),
        "any schedule of the learning rate (ours)",
        blocks=_names("lr_scheduler scheduler lr_schedule"),
        switch=True,
        words_count=True,
        idle=_names("constant constantlr"),
    ),
    Rule(
        "learning-rate",
        _names("lr learning_rate base_lr init_lr initial_lr max_lr"),
        1e-6,
        5e-3,
        "1e-6 to 5e-3, where published captioners train (ours)",
        low_unknown=True,
    ),
)

# An argument that only transformers' Trainer has, and what it does where it is not told.
HUGGING_FACE_MARK = "per_device_train_batch_size"
HUGGING_FACE_DEFAULTS: Mapping[str, Any] = {
    "label_smoothing_factor": 0.0,
    "weight_decay": 0.0,
    "max_grad_norm": 1.0,
    "lr_scheduler_type": "linear",
}
