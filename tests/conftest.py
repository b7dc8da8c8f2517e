"""What the tests share: a small world, a tiny captioner, and the program run in this process."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from hypothesis import settings

from benchmarks.zoo import ears
from capfix_cli.captioners.own.own_captioner import SPECIAL, OwnCaptioner
from capfix_cli.captioners.own.own_checkpoint import save
from capfix_cli.captioners.own.own_config import CaptionerConfig, EncoderConfig
from capfix_cli.demo.synthetic_world import World, make_world

# No deadlines: a busy machine is no failure. The same examples each time: a red run comes back.
settings.register_profile("capfix", deadline=None, derandomize=True)
settings.load_profile("capfix")

TINY = CaptionerConfig(
    encoder=EncoderConfig(depth=2, channels=4, width=16), embedding=16, hidden=24, max_length=12
)
REAL_DATA = Path(__file__).parent.parent.parent / "shared" / "data"


def real_data(name: str) -> Path:
    """Give a folder of real data, or skip the test and say so."""
    path = REAL_DATA / name
    if not path.exists():
        pytest.skip(f"the real data ({name}) is not here")
    return path


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return make_world(tmp_path_factory.mktemp("world") / "w", 32, 24, 0)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    words = ["a", "dog", "barks", "bell", "rings", "and", "then", "rain", "falls", "before"]
    captioner = OwnCaptioner(TINY, [*SPECIAL, *words])
    path = tmp_path_factory.mktemp("model") / "model.pt"
    return save(captioner, path, training={"epochs": 2, "weight_decay": 1e-4, "gradient_clip": 5.0})


@pytest.fixture(scope="session")
def used_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A captioner whose weights are no longer as its constructor drew them, and that is deaf."""
    torch.manual_seed(0)
    words = ["a", "dog", "barks", "bell", "rings", "and", "then", "rain", "falls", "before"]
    captioner = OwnCaptioner(TINY, [*SPECIAL, *words])
    with torch.no_grad():
        for weight in captioner.module.parameters():
            weight.copy_(
                0.5 * weight + 0.2 * weight.std().nan_to_num() * torch.randn_like(weight) ** 3
            )
    path = tmp_path_factory.mktemp("used") / "model.pt"
    return save(captioner, path, training={"epochs": 2, "weight_decay": 1e-4, "gradient_clip": 5.0})


@dataclass
class Result:
    status: int
    out: str
    err: str

    @property
    def complaint(self) -> str:
        """The one line that bad input must give."""
        assert self.status == 2, (self.status, self.out, self.err)
        lines = [line for line in self.err.splitlines() if line.startswith("Error:")]
        assert len(lines) == 1, self.err
        assert "Traceback" not in self.err
        return lines[0]


@pytest.fixture
def capfix(tmp_path, monkeypatch, capsys):
    """Run the program in an empty folder: ``capfix("diagnose", model, "--audio", folder)``."""
    monkeypatch.chdir(tmp_path)

    def run(*words: object) -> Result:
        from capfix_cli.cli.app import main

        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["capfix", *map(str, words)])
        try:
            main()
            status = 0
        except SystemExit as stop:
            status = int(stop.code or 0)
        captured = capsys.readouterr()
        return Result(status, captured.out, captured.err)

    return run


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Clips of two tones, all equally long."""
    return ears.write_tones(tmp_path_factory.mktemp("tones") / "clips")


@pytest.fixture(scope="module")
def uneven(tmp_path_factory):
    """The same of four lengths."""
    return ears.write_tones(tmp_path_factory.mktemp("uneven") / "clips", uneven=True)


@pytest.fixture(scope="module")
def ear(folder):
    """A captioner that is sound on them by construction."""
    return ears.Ear(folder)
