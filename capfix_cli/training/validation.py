"""Between epochs: looks at held-out clips, and what is rescued when training breaks."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch.nn.utils.rnn import pad_sequence

from capfix_cli.captioners.base import Captioner
from capfix_cli.captioners.own.own_captioner import OwnCaptioner
from capfix_cli.captioners.own.own_checkpoint import save
from capfix_cli.core.errors import CapfixError
from capfix_cli.decoding.encode_pass import encode_by
from capfix_cli.training.epoch_metrics import EpochMetrics, evaluating, look
from capfix_cli.training.objective import Encode, device_of
from capfix_cli.training.training_clips import TrainingClips
from capfix_cli.training.training_state import LAST, LAST_GOOD, write_whole

LOOK_AT_ONCE = 32  # held-out clips encoded together


def held_out_evaluator(
    captioner: Captioner, held_out: TrainingClips, encode: Encode, seed: int
) -> Callable[[int, float], EpochMetrics]:
    """Give a function that looks at the captioner as it is on the held-out clips."""
    names = held_out.names or [str(place) for place in range(len(held_out.captions))]
    references = dict(zip(names, held_out.captions, strict=True))

    def look_now(epoch: int, loss: float) -> EpochMetrics:
        chunks, device = [], device_of(captioner)
        with evaluating(captioner.module, seed):
            for start in range(0, len(names), LOOK_AT_ONCE):
                places = range(start, min(start + LOOK_AT_ONCE, len(names)))
                signals = [held_out.features[place].float() for place in places]
                lengths = torch.tensor([len(signal) for signal in signals], device=device)
                padded = pad_sequence(signals, batch_first=True).to(device)
                chunks.append(
                    encode_by([names[place] for place in places], partial(encode, padded, lengths))
                )
            return look(captioner, chunks, epoch, loss, references=references, seed=seed)

    return look_now


def with_last_good(error: CapfixError, captioner: Captioner, state: Path | None) -> CapfixError:
    """Keep the weights of the last whole epoch under a name of their own, and say so."""
    from capfix_cli.training.lightning_module import DivergedError
    from capfix_cli.training.training_callbacks import network_weights

    if not isinstance(error, DivergedError) or state is None or not (state / LAST).is_file():
        return error
    saved = torch.load(state / LAST, map_location="cpu", weights_only=False)
    weights = network_weights(saved)
    assert captioner.module is not None
    captioner.module.to("cpu").load_state_dict(weights)
    captioner.module.eval()
    path = state / LAST_GOOD
    if isinstance(captioner, OwnCaptioner):
        save(captioner, path, overwrite=True)
    else:
        write_whole(path, lambda file: torch.save(weights, file))
    # Resuming would run into the same step again; a changed recipe starts anew.
    done = int(saved["epoch"]) + 1
    return CapfixError(
        f"{error.message} The captioner of epoch {done} is kept in {path}.", error.hint
    )
