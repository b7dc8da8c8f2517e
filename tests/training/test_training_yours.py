"""A user's own captioner is trained by the same command, and saved in its own layout."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

import capfix_cli.runs.run_store
from capfix_cli.captioners.adapters import load_with_adapter
from capfix_cli.captions.reference_file import read_references
from capfix_cli.core.errors import CapfixError
from capfix_cli.core.text import split_words
from capfix_cli.training.finetuning import (
    check_trainable,
    check_words,
    give_dropout,
    save_in_original_layout,
)
from capfix_cli.training.objective import Objective, TheirLoss, takes_their_loss
from capfix_cli.training.recipe import Recipe, write_recipe
from capfix_cli.training.recipe_reading import read_recipe
from capfix_cli.training.switches import SWITCHES, turn_on
from capfix_cli.training.training_config import TrainingConfig, TrainingOptions

ADAPTER = """
import json, torch
from pathlib import Path
from torch import nn
from torch.nn import functional as F
import capfix_cli

class Net(nn.Module):
    def __init__(self, words):
        super().__init__()
        self.hear = nn.Linear(32, 16)
        self.embedding = nn.Embedding(words, 16)
        self.rnn = nn.GRU(16, 16, batch_first=True)
        self.drop = nn.Dropout(0.0)
        self.out = nn.Linear(16, words)

class Mine(capfix_cli.RecurrentCaptioner if False else capfix_cli.Captioner):
    sample_rate = 16_000
    pad_id, bos_id, eos_id, unk_id = 0, 1, 2, 3
    max_length = 12
    min_samples = 512
    def __init__(self, words):
        self.vocabulary = words
        self.module = Net(len(words))
    def encode(self, waveforms, lengths):
        frames = waveforms.unfold(1, 512, 512)
        mel = torch.fft.rfft(frames).abs()[..., 1:257].unflatten(-1, (32, 8)).mean(-1)
        inside = torch.arange(mel.shape[1]) < (lengths // 512).unsqueeze(1)
        mel = (mel + 1e-4).log() * inside.unsqueeze(2)
        return torch.tanh(self.module.hear(mel.sum(1) / inside.sum(1, keepdim=True)))
    def start(self, memory):
        return memory
    def step(self, token, state, memory):
        word = self.module.drop(self.module.embedding(token)).unsqueeze(1)
        out, state = self.module.rnn(word, state.unsqueeze(0))
        return self.module.out(out[:, 0]), state[0]
    def logits(self, prefix, memory):
        state = self.start(memory)
        for column in prefix.unbind(1):
            scores, state = self.step(column, state, memory)
        return scores

class WithLoss(Mine):
    calls = 0
    def loss(self, waveforms, lengths, captions):
        WithLoss.calls += 1
        memory, total = self.encode(waveforms, lengths), 0.0
        for row, text in enumerate(captions):
            ids = [self.bos_id, *self.tokenize(text)[:10], self.eos_id]
            state = memory[row:row + 1]
            for token, wanted in zip(ids, ids[1:]):
                scores, state = self.step(torch.tensor([token]), state, memory[row:row + 1])
                total = total + F.cross_entropy(scores, torch.tensor([wanted]))
        return total / len(captions)

class Blind(Mine):
    @torch.no_grad()
    def encode(self, waveforms, lengths):
        return super().encode(waveforms, lengths)
    @torch.no_grad()
    def step(self, *given):
        return super().step(*given)

def _load(kind, checkpoint, device):
    words = json.loads(Path(__file__).with_name("words.json").read_text())
    made = kind(words)
    capfix_cli.load_weights(checkpoint, network=made.module.to(device))
    return made

def load(checkpoint, device):
    return _load(WithLoss, checkpoint, device)

def no_loss(checkpoint, device):
    return _load(Mine, checkpoint, device)

def blind(checkpoint, device):
    return _load(Blind, checkpoint, device)
"""


@pytest.fixture
def mine(tmp_path, world):
    """An adapter, its words, and a checkpoint with the weights under ``model`` and ``module.``."""
    (tmp_path / "mine.py").write_text(ADAPTER)
    texts = read_references(world.train_captions).values()
    words = sorted({word for own in texts for text in own for word in split_words(text)})
    (tmp_path / "words.json").write_text(json.dumps(["<pad>", "<bos>", "<eos>", "<unk>", *words]))
    torch.manual_seed(0)

    class Net(nn.Module):
        def __init__(self, size: int) -> None:
            super().__init__()
            self.hear = nn.Linear(32, 16)
            self.embedding = nn.Embedding(size, 16)
            self.rnn = nn.GRU(16, 16, batch_first=True)
            self.out = nn.Linear(16, size)

    weights = {f"module.{k}": v for k, v in Net(len(words) + 4).state_dict().items()}
    path = tmp_path / "mine.pt"
    torch.save({"epoch": 7, "model": weights, "best": [0.1, 0.2]}, path)
    return tmp_path


def recipe_for(mine: Path, world, *fixes: str, epochs: int = 1) -> str:
    based = {
        "model": str(mine / "mine.pt"),
        "adapter": f"{mine / 'mine.py'}:load",
        "audio": str(world.test_audio),
    }
    control = TrainingConfig(
        training=TrainingOptions(epochs=epochs, batch_size=8, learning_rate=0.01)
    )
    recipe = Recipe(
        based, dict.fromkeys(fixes, "x"), turn_on(control, *fixes), {}, control, "yours"
    )
    write_recipe(recipe, mine / "r.yaml")
    return str(mine / "r.yaml")


def test_yours_is_trained_and_saved_as_it_came(capfix, mine, world):
    before = (mine / "mine.pt").read_bytes()
    recipe = recipe_for(mine, world, "3.1", "3.6", "4.3", "5.2", epochs=2)
    done = capfix(
        *("retrain", recipe, "--captions", world.train_captions, "--audio", world.train_audio),
        *("--output", mine / "new.pt"),
    )
    assert done.status == 0, done.err
    assert "before" in done.out
    assert (mine / "mine.pt").read_bytes() == before
    old, new = (torch.load(mine / name, weights_only=True) for name in ("mine.pt", "new.pt"))
    assert (new["epoch"], new["best"]) == (7, [0.1, 0.2])
    assert list(new["model"]) == list(old["model"])
    for name, tensor in new["model"].items():
        assert tensor.shape == old["model"][name].shape
        assert not torch.equal(tensor, old["model"][name]), name
    latest = capfix_cli.runs.run_store.find_run(None).diagnosis()
    assert latest.model.path == str(mine / "new.pt")


@pytest.mark.parametrize("fix", ["3.2", "3.3", "3.4", "3.5", "4.1", "4.2", "5.1", "5.3"])
def test_every_fix_that_leaves_the_architecture_runs_on_yours(mine, world, tmp_path, fix):
    from capfix_cli.training.training_run import TrainingJob, train_yours

    setup = read_recipe(recipe_for(mine, world, fix)).recipe.setup
    captioner = load_with_adapter(f"{mine / 'mine.py'}:load", str(mine / "mine.pt"), "cpu")
    job = TrainingJob(
        *(str(world.train_captions), str(world.train_audio), tmp_path, tmp_path / "s", "cpu"),
        lambda *given: None,
    )
    if fix == "3.4":
        setup = setup.change("augmentation", variants=1, mixup=0.4)
    train_yours(captioner, mine / "mine.pt", setup, job, tmp_path / "new.pt", dropout=fix == "5.1")
    assert captioner.module.drop.p == (0.3 if fix == "5.1" else 0.0)
    old, new = (torch.load(p, weights_only=True) for p in (mine / "mine.pt", tmp_path / "new.pt"))
    assert not torch.equal(old["model"]["module.out.weight"], new["model"]["module.out.weight"])


def test_their_loss_is_used_as_it_is_unless_a_switch_needs_the_scores(mine):
    path, plain = str(mine / "mine.pt"), TrainingConfig()
    theirs = load_with_adapter(f"{mine / 'mine.py'}:load", path, "cpu")
    assert takes_their_loss(theirs, plain)
    assert not takes_their_loss(theirs, turn_on(plain, "3.6"))
    assert not takes_their_loss(
        load_with_adapter(f"{mine / 'mine.py'}:no_loss", path, "cpu"), plain
    )
    waves, lengths = torch.randn(2, 4096) * 0.1, torch.tensor([4096, 3000])
    batch = {"signals": waves, "lengths": lengths, "captions": ["a dog barks", "rain falls"]}
    loss, parts = TheirLoss(theirs).of_batch(batch, theirs.encode, 0.0)
    torch.testing.assert_close(loss, theirs.loss(waves, lengths, batch["captions"]))
    assert set(parts) == {"words"}


def test_word_by_word_scores_are_the_ones_that_are_trained(mine):
    captioner = load_with_adapter(f"{mine / 'mine.py'}:no_loss", str(mine / "mine.pt"), "cpu")
    memory = captioner.encode(torch.randn(2, 4096) * 0.1, torch.tensor([4096, 3000]))
    objective = Objective(captioner, TrainingOptions())
    inputs = torch.tensor([[1, 5, 6], [1, 7, 8]])
    scores = objective._logits(inputs, memory)
    for place in range(3):
        expected = captioner.logits(inputs[:, : place + 1], memory)
        torch.testing.assert_close(scores[:, place], expected)


def test_what_cannot_be_trained_is_told(mine, world):
    path = str(mine / "mine.pt")
    blind = load_with_adapter(f"{mine / 'mine.py'}:blind", path, "cpu")
    batch = {
        "signals": torch.randn(2, 4096),
        "lengths": torch.tensor([4096, 3000]),
        "captions": ["a dog barks", "rain falls"],
    }
    with pytest.raises(CapfixError, match="no gradient"):
        Objective(blind, TrainingOptions()).of_batch(batch, blind.encode, 0.0)
    check_trainable(blind, {"size": len(blind.vocabulary)})
    with pytest.raises(CapfixError, match="vocabulary of 9 words and this captioner has"):
        check_trainable(blind, {"size": 9})
    blind.module = None
    with pytest.raises(CapfixError, match="gives no module"):
        check_trainable(blind, None)


def test_captions_of_another_vocabulary_are_refused(capfix, mine, world):
    rows = [f"{path.name},ein Hund bellt laut" for path in sorted(world.train_audio.iterdir())]
    (mine / "german.csv").write_text("file_name,caption_1\n" + "\n".join(rows) + "\n")
    told = capfix(
        *("retrain", recipe_for(mine, world, "3.1"), "--captions", mine / "german.csv"),
        *("--audio", world.train_audio, "--output", mine / "new.pt"),
    ).complaint
    assert "100 % of the captions' words are not in the captioner's vocabulary" in told
    assert not (mine / "new.pt").exists()


def test_a_few_unknown_words_are_a_note(mine, world):
    from capfix_cli.training.training_clips import TrainingClips

    captioner = load_with_adapter(f"{mine / 'mine.py'}:load", str(mine / "mine.pt"), "cpu")
    clips = TrainingClips([], [["a dog barks then wuffs"]])
    assert (
        check_words(captioner, clips)
        == "1 words of the captions are not in its vocabulary (wuffs)."
    )


def test_layouts_that_weights_come_in(tmp_path):
    net = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))
    before = {k: v.clone() for k, v in net.state_dict().items()}
    layouts = {
        "bare.pt": dict(before),
        "nested.pt": {"state_dict": {f"net.{k}": v for k, v in before.items()}, "step": 3},
        "half.pt": {"model": {k: v.half() for k, v in before.items() if v.is_floating_point()}},
    }
    for name, value in layouts.items():
        torch.save(value, tmp_path / name)
    save_file(before, tmp_path / "plain.safetensors")
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(1)
    for name in layouts:
        note = save_in_original_layout(tmp_path / name, tmp_path / f"new-{name}", before, net)
        assert note == ""
    assert (
        save_in_original_layout(
            tmp_path / "plain.safetensors", tmp_path / "new.safetensors", before, net
        )
        == ""
    )
    assert torch.equal(load_file(tmp_path / "new.safetensors")["0.weight"], net[0].weight)
    nested = torch.load(tmp_path / "new-nested.pt", weights_only=True)
    assert nested["step"] == 3
    assert torch.equal(nested["state_dict"]["net.0.weight"], net[0].weight)
    half = torch.load(tmp_path / "new-half.pt", weights_only=True)["model"]["0.weight"]
    assert half.dtype == torch.float16
    assert torch.equal(half, net[0].weight.half())
    (tmp_path / "odd.pt").write_bytes(b"something else")
    note = save_in_original_layout(tmp_path / "odd.pt", tmp_path / "new-odd.pt", before, net)
    assert "layout of its own" in note
    assert torch.equal(
        torch.load(tmp_path / "new-odd.pt", weights_only=True)["0.bias"], net[0].bias
    )


def test_dropout_is_given_to_layers_that_have_none():
    net = nn.Sequential(nn.Dropout(0.0), nn.Dropout2d(0.5), nn.Linear(2, 2))
    assert give_dropout(net) == 1
    assert (net[0].p, net[1].p) == (0.3, 0.5)


def test_the_recipe_of_a_diagnosis_of_yours_trains_yours_and_carries_code(capfix, mine, world):
    done = capfix(
        *("diagnose", mine / "mine.pt", "--audio", world.test_audio),
        *("--adapter", f"{mine / 'mine.py'}:load"),
    )
    assert done.status == 0, done.err
    found = read_recipe(capfix_cli.runs.run_store.find_run(None).folder / "recipe.yaml").recipe
    assert found.trains == "yours"
    changing = {fix for fix in found.fixes if SWITCHES[fix].architecture}
    assert changing
    assert set(found.rewrites) == changing
    assert "GRU" in found.rewrites["2.2"]
    assert found.setup.model == found.control.model
    others = set(found.fixes) - changing
    assert all(SWITCHES[fix].is_on(found.setup) for fix in others)
    assert found.based_on["vocabulary"]["size"] > 20
