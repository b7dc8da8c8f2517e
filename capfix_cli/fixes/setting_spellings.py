"""How training settings are spelled in the field: of every fix, and of what is none."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from capfix_cli.fixes.catalogue import FIXES
from capfix_cli.fixes.setting_rule import SettingRule, words

# Settings that are no fix of the catalogue and change what training was.
OTHER_RULES: Mapping[str, SettingRule] = {
    "schedule": SettingRule(
        names=words(
            "lr_scheduler lr_scheduler_type scheduler scheduler_type lr_schedule schedule "
            "warmup_steps warmup_ratio warmup_epochs warmup warmup_iters"
        ),
        low=0.0,
        high=math.inf,
        wanted="any schedule of the learning rate (ours)",
        blocks=words("lr_scheduler scheduler lr_schedule"),
        switch=True,
        words_count=True,
        idle=words("constant constantlr"),
    ),
    "learning-rate": SettingRule(
        names=words("lr learning_rate base_lr init_lr initial_lr max_lr"),
        low=1e-6,
        high=5e-3,
        wanted="1e-6 to 5e-3, where published captioners train (ours)",
        low_unknown=True,
    ),
}
RULES: Mapping[str, SettingRule] = {
    **{spec.id: spec.setting for spec in FIXES if spec.setting is not None},
    **OTHER_RULES,
}

# An argument that only transformers' Trainer has, and what it does where it is not told.
HUGGING_FACE_MARK = "per_device_train_batch_size"
HUGGING_FACE_DEFAULTS: Mapping[str, Any] = {
    "label_smoothing_factor": 0.0,
    "weight_decay": 0.0,
    "max_grad_norm": 1.0,
    "lr_scheduler_type": "linear",
}
