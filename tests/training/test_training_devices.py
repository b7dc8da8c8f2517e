"""Two processes over gloo train as one does: the same loss and the same weights."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import TINY
from torch import nn

from benchmarks.zoo.noise_clips import made_clips
from capfix_cli.captioners.own.own_captioner import OwnCaptioner
from capfix_cli.training.switches import without_fixes
from capfix_cli.training.synced_norm import synced
from capfix_cli.training.training_config import TrainingConfig, TrainingOptions
from capfix_cli.training.training_loop import new_captioner, train

# No dropout: each process draws its own. Smoothing, decay and clipping as always.
PLAIN = without_fixes(TINY)
OPTIONS = TrainingOptions(epochs=3, batch_size=8, learning_rate=1e-3, label_smoothing=0.1)
SETUP = dataclasses.replace(PLAIN, training=OPTIONS)


def run(setup: TrainingConfig, folder: Path | None = None) -> tuple[list[float], OwnCaptioner]:
    clips = made_clips()
    captioner = new_captioner(setup.model, clips, 0)
    losses: list[float] = []
    train(
        *(captioner, clips, setup, captioner.encode_features),
        progress=lambda step, steps, loss: losses.append(loss),
        folder=folder,
    )
    return losses, captioner


CHILD = """
import json, os, sys
from pathlib import Path
import torch
from test_training_devices import SETUP, run
losses, captioner = run(SETUP, Path(sys.argv[1]) / "state")
out = Path(sys.argv[1]) / f"rank{os.environ['RANK']}"
out.with_suffix(".json").write_text(json.dumps(losses))
torch.save(captioner.module.state_dict(), out.with_suffix(".pt"))
"""


def test_two_processes_have_the_loss_of_one(tmp_path):
    (tmp_path / "child.py").write_text(CHILD)
    here = Path(__file__).parent
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    environment["PYTHONPATH"] = os.pathsep.join([str(here), str(here.parent), str(here.parents[1])])
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "torch.distributed.run",
            "--standalone",
            "--nproc-per-node",
            "2",
            str(tmp_path / "child.py"),
            str(tmp_path),
        ],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    each = [json.loads((tmp_path / f"rank{rank}.json").read_text()) for rank in (0, 1)]
    together = [sum(pair) / 2 for pair in zip(*each, strict=True)]
    alone, captioner = run(SETUP)
    assert len(alone) == 9
    assert together == pytest.approx(alone, abs=1e-5)
    assert each[0] != pytest.approx(alone, abs=1e-3)  # each saw half of every batch
    weights = [torch.load(tmp_path / f"rank{rank}.pt", weights_only=True) for rank in (0, 1)]
    for name, tensor in captioner.module.state_dict().items():
        assert torch.equal(weights[0][name], weights[1][name])
        torch.testing.assert_close(weights[0][name], tensor, atol=2e-4, rtol=1e-3)
    assert list((tmp_path / "state").glob("*/last.ckpt"))


def test_synced_norms_are_plain_ones_in_one_process_and_go_back():
    net = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Flatten(), nn.BatchNorm1d(12))
    x = torch.randn(5, 1, 4, 4)
    expected = net(x)
    names = list(net.state_dict())
    with synced(net):
        assert type(net[1]) is not nn.BatchNorm2d
        assert list(net.state_dict()) == names
        torch.testing.assert_close(net(x), expected)
    assert type(net[1]) is nn.BatchNorm2d
    assert type(net[3]) is nn.BatchNorm1d
