"""Training that is killed goes on to the same weights; what breaks it is told and loses nothing."""

from __future__ import annotations

import dataclasses
import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import TINY

from benchmarks.zoo.noise_clips import made_clips
from capfix_cli.captioners.own.own_checkpoint import build
from capfix_cli.core.errors import CapfixError
from capfix_cli.training.data_preparation import prepare
from capfix_cli.training.switches import turn_on
from capfix_cli.training.training_clips import TrainingClips
from capfix_cli.training.training_config import DataOptions, TrainingConfig, TrainingOptions
from capfix_cli.training.training_loop import new_captioner, train


class KilledError(Exception):
    """Stands for a process that ends."""


def everything(epochs: int = 4) -> TrainingConfig:
    """Every switch that draws random numbers or keeps a state."""
    setup = turn_on(
        TrainingConfig(TINY, TrainingOptions(epochs=epochs, batch_size=5)), "3.1", "3.2", "3.3"
    )
    setup = turn_on(setup, "3.5", "3.6", "4.1", "5.1")
    setup = setup.change("augmentation", mask_bands=8, mask_frames=0.2, mixup=0.4)
    return setup.change("data", validation_share=0.3)


def run(
    setup: TrainingConfig, folder: Path | None, kill_at: int | None = None, clips=None, seen=None
):
    """Train; gives weights and what is told of it."""
    kept, held = prepare(clips or made_clips(), setup.data, setup.augmentation, 0)
    captioner = new_captioner(setup.model, kept, 0)

    def report(step: int, steps: int, loss: float) -> None:
        if kill_at is not None and step >= kill_at:
            raise KilledError
        if seen is not None:
            seen.append(step)

    trained = train(
        *(captioner, kept, setup, captioner.encode_features),
        held_out=held,
        progress=report,
        folder=folder,
    )
    return captioner.module.state_dict(), trained


def assert_same(one, two):
    assert set(one) == set(two)
    for name, tensor in one.items():
        assert torch.equal(tensor, two[name]), name


def test_a_training_killed_at_20_random_moments_ends_with_the_same_weights(tmp_path):
    setup = everything(epochs=22)
    whole, trained = run(setup, None)
    steps = 3 * 22
    moments = sorted(np.random.default_rng(7).choice(np.arange(2, steps), 20, replace=False))
    kills = 0
    for moment in moments.copy():
        with pytest.raises(KilledError):
            run(setup, tmp_path, kill_at=int(moment))
        kills += 1
    resumed, again = run(setup, tmp_path)
    assert kills == 20
    assert_same(whole, resumed)
    assert again.best_epoch == trained.best_epoch
    other, _ = run(dataclasses.replace(setup).change("training", seed=1), None)
    assert not torch.equal(other["decoder.out.weight"], whole["decoder.out.weight"])


def test_resuming_really_skips_what_was_done(tmp_path):
    setup = everything()
    with pytest.raises(KilledError):
        run(setup, tmp_path, kill_at=8)  # in the third epoch of three steps
    seen = []
    kept, held = prepare(made_clips(), setup.data, setup.augmentation, 0)
    captioner = new_captioner(TINY, kept, 0)
    train(
        *(captioner, kept, setup, captioner.encode_features),
        held_out=held,
        progress=lambda step, steps, loss: seen.append(step),
        folder=tmp_path,
    )
    assert seen == [7, 8, 9, 10, 11, 12]


def test_a_state_in_the_middle_of_an_epoch_goes_on_from_there(tmp_path, monkeypatch):
    from capfix_cli.training import training_callbacks

    monkeypatch.setattr(training_callbacks, "SAVE_SECONDS", 0.0)
    setup = everything(5).change("training", batch_size=3)  # five steps an epoch
    whole, trained = run(setup, None)
    for number, moment in enumerate((3, 5, 6, 11, 14, 15, 16, 24, 25)):
        folder = tmp_path / str(number)
        with pytest.raises(KilledError):
            run(setup, folder, kill_at=moment)
        seen: list[int] = []
        resumed, again = run(setup, folder, seen=seen)
        assert seen == list(range(moment, 26))  # the step that was cut off, and no other, again
        assert_same(whole, resumed)
        assert again.best_epoch == trained.best_epoch
        assert [r.loss for r in again.readings] == [
            r.loss for r in trained.readings[-len(again.readings) :]
        ]


CHILD = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
import torch
from test_training_resume import everything, run
weights, _ = run(everything(40), Path(sys.argv[1]))
torch.save(weights, Path(sys.argv[1]) / "weights.pt")
"""


def test_a_process_that_is_killed_leaves_a_state_that_resumes(tmp_path):
    here = str(Path(__file__).parent)
    words = [sys.executable, "-c", CHILD, str(tmp_path), here]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([here, *map(str, Path(here).parents[:2])]),
    }
    child = subprocess.Popen(words, env=environment, stderr=subprocess.DEVNULL)
    for _ in range(600):  # until a first epoch is saved
        if list(tmp_path.glob("*/last.ckpt")) or child.poll() is not None:
            break
        time.sleep(0.05)
    assert child.poll() is None, "it ended before it could be killed"
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert not (tmp_path / "weights.pt").exists()
    resumed, _ = run(everything(40), tmp_path)
    whole, _ = run(everything(40), None)
    assert_same(whole, resumed)


def test_another_recipe_or_other_captions_start_anew(tmp_path):
    setup = everything(1)
    run(setup, tmp_path)
    run(setup.change("training", label_smoothing=0.2), tmp_path)
    clips = made_clips()
    clips.captions[0] = ["another word", *clips.captions[0][1:]]
    run(setup, tmp_path, clips=clips)
    assert len(list(tmp_path.glob("*/last.ckpt"))) == 3


def poisoned(place: int) -> TrainingClips:
    clips = made_clips()
    features = list(clips.features)
    features[place] = torch.full((8, 64), float("nan")).half()
    return dataclasses.replace(clips, features=features)


def test_a_loss_that_is_no_number_stops_training_and_says_what_to_lower():
    setup = TrainingConfig(TINY, TrainingOptions(epochs=2, batch_size=8))
    with pytest.raises(CapfixError, match=r"no number any more at step 1") as caught:
        run(setup, None, clips=poisoned(0))
    assert "learning_rate (from 0.001 to 0.0003)" in caught.value.hint
    assert "gradient_clip (from 5 to 1)" in caught.value.hint


def test_the_last_good_captioner_is_kept(tmp_path, monkeypatch):
    from capfix_cli.training import losses

    setup = TrainingConfig(TINY, TrainingOptions(epochs=5, batch_size=8))
    good, _ = run(setup.change("training", epochs=5), None)
    calls = {"made": 0}
    plain = losses.token_losses

    def breaks(*given):
        calls["made"] += 1
        return plain(*given) * (float("nan") if calls["made"] > 7 else 1.0)

    monkeypatch.setattr(losses, "token_losses", breaks)
    with pytest.raises(CapfixError, match="captioner of epoch 2 is kept in") as caught:
        run(setup, tmp_path)
    path = caught.value.message.partition("kept in ")[2].rstrip(".")
    path = path if path.endswith(".pt") else f"{path}.pt"
    kept = torch.load(path, weights_only=True)
    captioner = build(kept, path, "cpu")
    assert all(tensor.isfinite().all() for tensor in captioner.module.state_dict().values())
    assert set(kept["state_dict"]) == set(good)


def test_gradients_that_are_no_number_stop_before_the_step(monkeypatch):
    from capfix_cli.training import losses

    plain = losses.token_losses

    class Breaks(torch.autograd.Function):
        @staticmethod
        def forward(context, x):
            return x.clone()

        @staticmethod
        def backward(context, grad):
            return grad * float("inf")

    monkeypatch.setattr(losses, "token_losses", lambda *given: Breaks.apply(plain(*given)))
    for clip in (0.0, 5.0):
        setup = TrainingConfig(TINY, TrainingOptions(epochs=1, batch_size=8, gradient_clip=clip))
        with pytest.raises(CapfixError, match="gradient is no number"):
            run(setup, None)


def test_a_full_disk_is_told_in_plain_words(tmp_path, monkeypatch):
    from capfix_cli.core import files

    def full(*given, **more):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.tempfile, "mkstemp", full)
    with pytest.raises(CapfixError, match="the disk is full"):
        run(everything(1), tmp_path)


def test_early_stopping_stops_and_stays_stopped(tmp_path):
    setup = everything(30).change("training", early_stopping=2, learning_rate=1e-9)
    weights, trained = run(setup, tmp_path)
    assert trained.stopped
    assert trained.best_epoch >= 1
    assert len(trained.readings) < 30
    again, resumed = run(setup, tmp_path)
    assert resumed.stopped
    assert not resumed.readings
    assert_same(weights, again)


def test_early_stopping_that_is_killed_while_it_waits_stops_at_the_same_epoch(tmp_path):
    setup = everything(20).change("training", early_stopping=3)
    whole, trained = run(setup, None)
    assert trained.stopped
    steps = 3 * (trained.best_epoch + 2)  # of three epochs without better listening, two are over
    for moment in (steps - 1, steps + 2):
        with pytest.raises(KilledError):
            run(setup, tmp_path, kill_at=moment)
    resumed, again = run(setup, tmp_path)
    assert again.stopped
    assert again.best_epoch == trained.best_epoch
    assert again.readings[-1].epoch == trained.readings[-1].epoch
    assert_same(whole, resumed)


def test_the_state_is_lightnings_own_checkpoint_and_holds_its_callbacks(tmp_path):
    run(everything(2), tmp_path)
    (folder,) = tmp_path.iterdir()
    assert sorted(path.name for path in folder.iterdir()) == ["best.ckpt", "last.ckpt"]
    saved = torch.load(folder / "last.ckpt", weights_only=True)
    kinds = [key for key in saved["callbacks"] if "ModelCheckpoint" in key]
    assert len(kinds) >= 2
    best = next(saved["callbacks"][key] for key in kinds if "listening_bits" in key)
    assert best["best_model_path"] == str((folder / "best.ckpt").resolve())


def test_early_stopping_without_held_out_clips_is_refused():
    setup = TrainingConfig(TINY, TrainingOptions(early_stopping=2))
    with pytest.raises(CapfixError, match="needs held-out clips"):
        run(setup, None)
    with pytest.raises(CapfixError, match="none is left to train on"):
        prepare(made_clips(6), DataOptions(validation_share=0.5), setup.augmentation, 0)


def test_the_best_epoch_by_listening_is_what_is_kept(tmp_path):
    """The kept weights, looked at again, give the bits of the best reading."""
    from capfix_cli.training.validation import held_out_evaluator

    setup = everything(6)
    kept, held = prepare(made_clips(40), setup.data, setup.augmentation, 0)
    captioner = new_captioner(TINY, kept, 0)
    trained = train(
        *(captioner, kept, setup, captioner.encode_features), held_out=held, folder=tmp_path
    )
    bits = [reading.listening.deciding_bits for reading in trained.readings]
    assert len(bits) == 6
    assert trained.best_epoch == 1 + bits.index(max(bits))
    now = held_out_evaluator(captioner, held, captioner.encode_features, 0)(9, 0.0)
    assert now.listening.deciding_bits == pytest.approx(max(bits))
