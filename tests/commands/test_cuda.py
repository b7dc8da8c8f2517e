"""On a GPU: the same verdicts and captions as on the CPU, for every kind of captioner."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from conftest import TINY

from benchmarks.zoo import hugging
from benchmarks.zoo.noise_clips import made_clips
from capfix_cli.captioners.own.own_captioner import SPECIAL, OwnCaptioner
from capfix_cli.captioners.own.own_checkpoint import save
from capfix_cli.monitor import Watched
from capfix_cli.training.training_config import TrainingConfig, TrainingOptions
from capfix_cli.training.training_loop import new_captioner, train

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")

ADAPTER = """
import torch
from torch import nn
import capfix_cli

WORDS = ["<pad>", "<bos>", "<eos>", "loud", "soft", "long", "short"]


class Mine(capfix_cli.Captioner):
    sample_rate, bos_id, eos_id, pad_id, max_length = 16000, 1, 2, 0, 6
    vocabulary = WORDS

    def __init__(self, device):
        torch.manual_seed(0)
        self.device = device
        self.module = nn.ModuleDict({
            "ear": nn.Linear(400, 16), "embed": nn.Embedding(7, 16),
            "rnn": nn.GRU(16, 16, batch_first=True), "out": nn.Linear(16, 7),
        }).to(device)

    def encode(self, waveforms, lengths):
        frames = waveforms.to(self.device).unfold(1, 400, 400)
        return torch.tanh(self.module["ear"](frames)).mean(1)

    def logits(self, prefix, memory):
        words = self.module["embed"](prefix.to(self.device))
        states, _ = self.module["rnn"](words, memory.unsqueeze(0).contiguous())
        return self.module["out"](states[:, -1])


def load(checkpoint, device):
    return Mine(device)
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A captioner trained for a moment on the GPU."""
    clips = made_clips()
    setup = TrainingConfig(TINY, TrainingOptions(epochs=2, batch_size=8))
    captioner = new_captioner(setup.model, clips, 0)
    losses = []
    train(
        *(captioner, clips, setup, captioner.encode_features),
        device="cuda",
        progress=lambda step, steps, loss: losses.append(loss),
    )
    assert losses
    return captioner


def diagnosed(capfix, *words: object) -> dict:
    done = capfix("diagnose", *words, "--json", "--quiet")
    assert done.status == 0, done.err
    return json.loads(done.out)


def same(cpu: dict, gpu: dict) -> None:
    assert gpu["verdict"] == cpu["verdict"]
    assert [cause["id"] for cause in gpu["causes"]] == [cause["id"] for cause in cpu["causes"]]
    assert [row["status"] for row in gpu["plan"]] == [row["status"] for row in cpu["plan"]]
    assert gpu["listening"]["bits"] == pytest.approx(cpu["listening"]["bits"], abs=0.05)


def model_of(kind: str, tiny_model: Path, tmp_path: Path) -> list[object]:
    if kind == "own":
        return [tiny_model]
    if kind == "huggingface":
        return [hugging.save_whisper(tmp_path / "whisper")]
    (tmp_path / "mine.py").write_text(ADAPTER)
    (tmp_path / "weights.pt").write_bytes(b"weights")
    return [tmp_path / "weights.pt", "--adapter", tmp_path / "mine.py:load"]


@pytest.mark.parametrize("kind", ["own", "huggingface", "adapter"])
def test_a_diagnosis_on_a_gpu_says_what_that_on_the_cpu_says(
    kind, capfix, tiny_model, world, tmp_path
):
    model = model_of(kind, tiny_model, tmp_path)
    words = [*model, "--audio", world.test_audio, "--references", world.test_captions]
    same(diagnosed(capfix, *words), diagnosed(capfix, *words, "--device", "cuda"))


@pytest.mark.parametrize("kind", ["own", "huggingface", "adapter"])
@pytest.mark.parametrize("options", [(), ("--num-beams", 3), ("--contrast", 1.0)])
def test_captions_on_a_gpu_are_those_of_the_cpu(kind, options, capfix, tiny_model, world, tmp_path):
    model = model_of(kind, tiny_model, tmp_path)
    texts = {}
    for device in ("cpu", "cuda"):
        out = tmp_path / f"{device}.csv"
        done = capfix(
            *("generate", *model, "--audio", world.test_audio, "--device", device),
            *("--output", out, *options),
        )
        assert done.status == 0, done.err
        texts[device] = out.read_text().splitlines()
    equal = sum(one == two for one, two in zip(texts["cpu"], texts["cuda"], strict=True))
    assert equal >= 0.9 * len(texts["cpu"])  # sums in another order may tip a near tie


def test_training_on_a_gpu_gives_a_captioner_that_saves_and_speaks(
    trained, capfix, world, tmp_path
):
    path = save(trained, tmp_path / "new.pt")
    assert diagnosed(capfix, path, "--audio", world.test_audio)["verdict"]


def test_a_network_on_a_gpu_is_watched_while_it_trains(world):
    torch.manual_seed(0)
    captioner = OwnCaptioner(TINY, [*SPECIAL, "a", "dog", "barks", "rain", "falls"])
    captioner.module.to("cuda")
    before = torch.cuda.get_rng_state()
    reading = Watched(captioner, world.test_audio).look()
    assert reading.listening.ceiling_bits > 0
    assert torch.equal(torch.cuda.get_rng_state(), before)


def test_more_than_the_device_holds_is_one_line(capfix, tmp_path, world):
    (tmp_path / "mine.py").write_text(
        ADAPTER.replace("frames = ", "torch.empty(10**13, device=self.device); frames = ")
    )
    (tmp_path / "weights.pt").write_bytes(b"weights")
    done = capfix(
        *("diagnose", tmp_path / "weights.pt", "--adapter", tmp_path / "mine.py:load"),
        *("--audio", world.test_audio, "--device", "cuda"),
    )
    assert "memory" in done.complaint
