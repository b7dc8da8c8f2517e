"""Watch a captioner while you train it: listening and diversity on a few clips, every epoch.

    from capfix_cli.monitor import Watched, lightning_callback, transformers_callback, watch

Each look captions the clips greedily and measures how much the audio decides the captions. When
training collapses, which a falling loss hides, a warning says so with the cause, at the second
look and not after the run.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from capfix_cli.audio.audio_batches import Batch, iterate_batches
from capfix_cli.audio.clip_set import ClipSource, open_clips
from capfix_cli.captioners.base import Captioner
from capfix_cli.captioners.feature_captioner import over_features
from capfix_cli.captions.reference_file import fit_references, read_references
from capfix_cli.core.errors import CapfixError
from capfix_cli.decoding.encode_pass import encode_by
from capfix_cli.features.feature_set import FeatureSet
from capfix_cli.training.epoch_metrics import EpochMetrics, collapse_warning, evaluating, look
from capfix_cli.training.objective import device_of

__all__ = [
    "CollapseWarning",
    "EpochMetrics",
    "Reading",
    "Watched",
    "lightning_callback",
    "transformers_callback",
    "watch",
]

Reading = EpochMetrics  # its name in version 0.1

MIN_CLIPS = 8  # clips; listening on fewer says nothing
BATCH = 16
Log = Callable[[Mapping[str, float], int], None]  # numbers, epoch counted from 1


class CollapseWarning(UserWarning):
    """Training is collapsing; the message says since when and why."""


class Watched:
    """A captioner, a few clips that it is not trained on, and what was seen so far.

    Args:
        captioner: around the network that is being trained (docs/adapters.md).
        clips: a folder of audio files, or its clips, or :func:`capfix_cli.open_features` of
            some features; 20 to 50 are enough.
        references: a captions file of these clips, in any layout that ``capfix measure`` reads,
            to judge rightness as well. Where clips have none, a warning says how many.
        most: clips that are used; those first by name.
        seed: of contrast sets.

    Raises:
        CapfixError: too few clips can be used, or none has references.
    """

    def __init__(
        self,
        captioner: Captioner,
        clips: ClipSource,
        references: str | Path | None = None,
        *,
        most: int = 48,
        seed: int = 0,
    ) -> None:
        self.captioner = captioner
        self.seed = seed
        self.history: list[EpochMetrics] = []
        found = open_clips(clips)
        if isinstance(found, FeatureSet):
            self.captioner = captioner = over_features(captioner, found)
            if references is not None:
                found = found.named_after(read_references(references), references)
        used = found.clips[:most]
        self.references: Mapping[str, Sequence[str]] | None = None
        if references is not None:
            fit = fit_references(
                read_references(references), [clip.name for clip in used], references
            )
            self.references = fit.matched
            if len(fit.matched) < len(used):
                warnings.warn(fit.note, stacklevel=2)
        self.batches: list[Batch] = [
            batch
            for batch in iterate_batches(used, captioner.sample_rate, BATCH, captioner.min_samples)
            if batch.clips
        ]
        names = [name for batch in self.batches for name in batch.names]
        if len(names) < MIN_CLIPS:
            raise CapfixError(
                f"Watching needs at least {MIN_CLIPS} usable clips and {found.folder} has"
                f" {len(names)}.",
                "Add clips that are not trained on.",
            )

    def look(self, loss: float | None = None, epoch: int | None = None) -> EpochMetrics:
        """Look at the captioner as it is now; training goes on as if nobody had looked.

        Modes of layers and random numbers are put back as they were.

        Args:
            loss: of training since the last look, where it is known.
            epoch: counted from 1; the next one where None.
        """
        number = epoch if epoch is not None else len(self.history) + 1
        device = device_of(self.captioner)
        with evaluating(self.captioner.module, self.seed):
            chunks = [
                encode_by(
                    batch.names,
                    partial(
                        self.captioner.encode, batch.waveforms.to(device), batch.lengths.to(device)
                    ),
                )
                for batch in self.batches
            ]
            reading = look(
                self.captioner, chunks, number, loss, references=self.references, seed=self.seed
            )
        self.history.append(reading)
        warning = collapse_warning(self.history)
        if warning:
            reading = EpochMetrics(**{**vars(reading), "warning": warning})
            self.history[-1] = reading
        return reading


def watch(watched: Watched, loss: float | None = None, log: Log | None = None) -> EpochMetrics:
    """Look once, log, and warn where training collapses: for a training loop of your own.

        watched = Watched(captioner, "validation/")
        for epoch in range(epochs):
            loss = train_one_epoch()
            watch(watched, loss)

    Args:
        watched: made once, before training.
        loss: of the epoch.
        log: takes the numbers, such as a TensorBoard writer's; printed where None.
    """
    reading = watched.look(loss)
    if log is not None:
        log(reading.numbers(), reading.epoch)
    else:
        heard = reading.listening
        print(
            f"epoch {reading.epoch}: listening {heard.deciding_bits:.2f} of"
            f" {heard.ceiling_bits:.2f} bits, {100 * reading.distinct:.0f} % distinct captions,"
            f" commonest {100 * reading.commonest_share:.0f} % {reading.commonest!r}",
            file=sys.stderr,
        )
    if reading.warning:
        warnings.warn(reading.warning, CollapseWarning, stacklevel=2)
    return reading


def lightning_callback(watched: Watched, every: int = 1) -> Any:
    """Give a Lightning callback that looks at the end of every ``every`` training epochs.

    Numbers go to the trainer's loggers under ``capfix/``. Works with ``lightning`` and with
    ``pytorch_lightning``, whichever the program has imported.
    """
    if "pytorch_lightning" in sys.modules and "lightning.pytorch" not in sys.modules:
        package = "pytorch_lightning"
    else:
        package = "lightning.pytorch"
    base: Any = import_module(package).Callback

    class ListeningMonitor(base):  # type: ignore[misc]
        """Looks at the end of training epochs."""

        def __init__(self) -> None:
            self.losses: list[float] = []

        def on_train_batch_end(
            self, trainer: Any, pl_module: Any, outputs: Any, *rest: Any
        ) -> None:
            """Gather the loss."""
            loss = outputs.get("loss") if isinstance(outputs, Mapping) else outputs
            if loss is not None:
                self.losses.append(float(loss.detach()))

        def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
            """Look and log; of several processes the first one does."""
            if (trainer.current_epoch + 1) % every or not trainer.is_global_zero:
                return
            losses, self.losses = self.losses, []
            loss = sum(losses) / len(losses) if losses else None

            def log(numbers: Mapping[str, float], epoch: int) -> None:
                told = {f"capfix/{name}": value for name, value in numbers.items()}
                for logger in trainer.loggers:
                    logger.log_metrics(told, step=trainer.global_step)

            watch(watched, loss, log)

    return ListeningMonitor()


def transformers_callback(watched: Watched) -> Any:
    """Give a ``TrainerCallback`` of transformers that looks at the end of every epoch.

    Numbers are added to the trainer's log history under ``capfix_``.
    """
    from transformers import TrainerCallback

    class ListeningMonitor(TrainerCallback):  # type: ignore[misc, unused-ignore]
        """Looks at the end of epochs."""

        def on_epoch_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:
            """Look and log; of several processes the first one does."""
            if not state.is_world_process_zero:
                return
            told = [row["loss"] for row in state.log_history if "loss" in row]

            def log(numbers: Mapping[str, float], epoch: int) -> None:
                row = {f"capfix_{name}": value for name, value in numbers.items()}
                state.log_history.append({**row, "epoch": epoch, "step": state.global_step})

            watch(watched, told[-1] if told else None, log)

    return ListeningMonitor()
