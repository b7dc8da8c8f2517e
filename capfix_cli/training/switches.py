"""Fix id -> what it changes in a setup, and how a setup shows that it is on."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from capfix_cli.captioners.own.own_config import CaptionerConfig
from capfix_cli.training.training_config import TrainingConfig


@dataclass(frozen=True)
class Switch:
    """A fix that a recipe can carry out.

    Attributes:
        turn_on: gives the setup with the fix at the catalogue's value.
        is_on: whether a setup has it.
        field: the field of a recipe that it is.
        architecture: whether it changes the network, so that weights must be trained anew.
    """

    turn_on: Callable[[TrainingConfig], TrainingConfig]
    is_on: Callable[[TrainingConfig], bool]
    field: str
    architecture: bool = False


def _encoder(setup: TrainingConfig, **values: object) -> TrainingConfig:
    encoder = dataclasses.replace(setup.model.encoder, **values)  # type: ignore[arg-type]
    return setup.change("model", encoder=encoder)


def _every_step(setup: TrainingConfig) -> TrainingConfig:
    if setup.model.conditioning != "initial-state":
        return setup
    return setup.change("model", conditioning="every-step")


def _training(field: str, value: object, *, off: object = 0) -> Switch:
    return Switch(
        lambda setup: setup.change("training", **{field: value}),
        lambda setup: getattr(setup.training, field) != off,
        f"training.{field}",
    )


def _clipped(setup: TrainingConfig) -> TrainingConfig:
    return setup.change("training", gradient_clip=setup.training.gradient_clip or 5.0)


def _dropout(setup: TrainingConfig) -> TrainingConfig:
    setup = setup.change("model", dropout=setup.model.dropout or 0.3)
    return _encoder(setup, dropout=setup.model.encoder.dropout or 0.2)


def _augment(setup: TrainingConfig) -> TrainingConfig:
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


SMOOTHING = 0.1  # the document, 3.1 and its tree
DEEP = 3  # blocks (the document, 2.4: 3-4)

# In the order of the catalogue.
SWITCHES: Mapping[str, Switch] = {
    "2.1": Switch(
        lambda setup: _encoder(setup, pooling="frequency"),
        lambda setup: setup.model.encoder.pooling == "frequency",
        "model.encoder.pooling",
        architecture=True,
    ),
    "2.2": Switch(
        _every_step,
        lambda setup: setup.model.conditioning != "initial-state",
        "model.conditioning",
        architecture=True,
    ),
    "2.3": Switch(
        lambda setup: setup.change("model", conditioning="attention"),
        lambda setup: setup.model.conditioning == "attention",
        "model.conditioning",
        architecture=True,
    ),
    "2.4": Switch(
        lambda setup: _encoder(setup, residual=True, depth=max(DEEP, setup.model.encoder.depth)),
        lambda setup: setup.model.encoder.residual and setup.model.encoder.depth >= DEEP,
        "model.encoder.residual",
        architecture=True,
    ),
    "2.5": Switch(
        lambda setup: setup.change("model", decoder="transformer", conditioning="attention"),
        lambda setup: str(setup.model.decoder) == "transformer",
        "model.decoder",
        architecture=True,
    ),
    "2.6": Switch(
        lambda setup: setup,  # weights have a path that only the user knows
        lambda setup: str(setup.model.encoder.pretrained) != "none",
        "model.encoder.pretrained",
        architecture=True,
    ),
    "3.1": _training("label_smoothing", SMOOTHING),
    "3.2": _training("scheduled_sampling", 0.4),
    "3.3": _training("diversity_alpha", 0.1),
    "3.4": Switch(_augment, lambda setup: bool(setup.augmentation.in_words()), "augmentation"),
    "3.5": _training("curriculum", "thirds", off="none"),
    "3.6": _training("listening_weight", 0.3),
    "4.1": Switch(
        lambda setup: setup.change("data", balance=0.5),
        lambda setup: setup.data.balance > 0,
        "data.balance",
    ),
    "4.2": Switch(
        lambda setup: setup.change("data", min_specific_words=1),
        lambda setup: setup.data.min_specific_words > 0,
        "data.min_specific_words",
    ),
    "4.3": Switch(
        lambda setup: setup.change("data", captions_per_clip=0),
        lambda setup: setup.data.captions_per_clip != 1,
        "data.captions_per_clip",
    ),
    "5.1": Switch(
        _dropout,
        lambda setup: bool(setup.model.dropout or setup.model.encoder.dropout),
        "model.dropout",
    ),
    "5.2": Switch(
        lambda setup: setup.change("training", weight_decay=setup.training.weight_decay or 1e-4),
        lambda setup: setup.training.weight_decay > 0,
        "training.weight_decay",
    ),
    "5.3": Switch(
        _clipped, lambda setup: setup.training.gradient_clip > 0, "training.gradient_clip"
    ),
}


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
    return _encoder(setup, dropout=0.0)
