"""Fix id -> what it changes in a setup, and how a setup shows that it is on."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from capfix_cli.captioners.own.own_config import CaptionerConfig
from capfix_cli.fixes.catalogue import FIXES
from capfix_cli.fixes.fix_spec import Switch, change_encoder
from capfix_cli.training.training_config import TrainingConfig

# In the order of the catalogue.
SWITCHES: Mapping[str, Switch] = {spec.id: spec.switch for spec in FIXES if spec.switch is not None}


def turn_on(setup: TrainingConfig, *fixes: str) -> TrainingConfig:
    """Give the setup with fixes switched on, in the order given.

    Raises:
        KeyError: not a fix that a recipe can carry out.
    """
    for fix in fixes:
        setup = SWITCHES[fix].turn_on(setup)
    return setup


def without_fixes(model: CaptionerConfig) -> TrainingConfig:
    """A setup of this model in which every fix of training, data and regularisation is off."""
    setup = TrainingConfig(dataclasses.replace(model, dropout=0.0))
    setup = setup.change("training", weight_decay=0.0, gradient_clip=0.0)
    setup = setup.change("data", captions_per_clip=1)
    return change_encoder(setup, dropout=0.0)
