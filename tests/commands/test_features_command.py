"""--features from the command line: diagnose, generate, retrain, adapter check and inspect."""

from __future__ import annotations

import json
import textwrap

import numpy as np
import pytest
import torch

KINDS = ("bell", "rain", "wind", "dog")
CLIPS = 24
ADAPTER = """
    import capfix_cli
    import torch
    from torch import nn

    WORDS = ["<pad>", "<bos>", "<eos>", "a", "bell", "rain", "wind", "dog", "is", "heard"]

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(8, 32)
            self.words = nn.Embedding(len(WORDS), 32)
            self.rnn = nn.GRU(64, 32, batch_first=True)
            self.out = nn.Linear(32, len(WORDS))

        def forward(self, heard, tokens):
            beside = heard.unsqueeze(1).expand(-1, tokens.shape[1], -1)
            states, _ = self.rnn(torch.cat([self.words(tokens), beside], dim=2))
            return self.out(states)

    class Mine(capfix_cli.Captioner):
        vocabulary, pad_id, bos_id, eos_id, max_length = WORDS, 0, 1, 2, 8
        feature_width = 8

        def __init__(self, path):
            self.module = Net()
            self.module.load_state_dict(torch.load(path, weights_only=True))

        def encode_features(self, features, lengths):
            heard = self.module.first(features).tanh()
            inside = torch.arange(heard.shape[1]) < lengths.unsqueeze(1)
            return (heard * inside.unsqueeze(2)).sum(1) / lengths.unsqueeze(1)

        def logits(self, prefix, memory):
            return self.module(memory, prefix)[:, -1]

        def sequence_logits(self, tokens, memory):
            return self.module(memory, tokens)

        def loss(self, features, lengths, captions):
            rows = [torch.tensor([1, *self.tokenize(text), 2]) for text in captions]
            tokens = nn.utils.rnn.pad_sequence(rows, batch_first=True)
            scores = self.module(self.encode_features(features, lengths), tokens[:, :-1])
            return nn.functional.cross_entropy(
                scores.flatten(0, 1), tokens[:, 1:].flatten(), ignore_index=0
            )

    def load(checkpoint, device):
        return Mine(checkpoint)
"""


def draw_clip(draw, row):
    """Frames whose mean tells one of four kinds of sound."""
    array = draw.normal(size=(6 + row % 3, 8)) / 4
    array[:, row % 4] += 3
    return array.astype("f4")


@pytest.fixture
def place(tmp_path):
    (tmp_path / "my_adapter.py").write_text(textwrap.dedent(ADAPTER))
    space: dict = {}
    exec(textwrap.dedent(ADAPTER), space)
    torch.manual_seed(0)
    net = space["Net"]()
    torch.save(net.state_dict(), tmp_path / "new.pt")
    draw = np.random.default_rng(0)
    for name in ("feat", "train"):
        folder = tmp_path / name
        folder.mkdir()
        rows = []
        for row in range(CLIPS):
            np.save(folder / f"{row:03}.avi.npy", draw_clip(draw, row))
            said = f"a {KINDS[row % 4]} is heard"
            rows.append({"id": f"{row:03}.avi", "caption": [said, said]})
        (tmp_path / f"{name}.json").write_text(json.dumps(rows))
    captioner = space["load"](tmp_path / "new.pt", "cpu")
    optimiser = torch.optim.Adam(captioner.module.parameters(), 1e-2)
    arrays = [torch.from_numpy(draw_clip(draw, row)) for row in range(CLIPS)]
    features = torch.nn.utils.rnn.pad_sequence(arrays, batch_first=True)
    lengths = torch.tensor([len(array) for array in arrays])
    captions = [f"a {KINDS[row % 4]} is heard" for row in range(CLIPS)]
    for _ in range(60):
        loss = captioner.loss(features, lengths, captions)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    torch.save(captioner.module.state_dict(), tmp_path / "model.pt")
    return tmp_path


ASKED = ("--adapter", "my_adapter.py:load", "--features", "feat")


def test_a_diagnosis_over_features(place, capfix):
    run = capfix("diagnose", "model.pt", *ASKED, "--references", "feat.json", "--json")
    assert run.status == 0, run.err
    told = json.loads(run.out)
    assert told["audio"]["features"] == "[T, 8]"
    assert told["audio"]["clips"] == CLIPS
    assert told["listening"]["reference_bits"] > 0.5 * told["listening"]["ceiling_bits"] * 0.4
    needs = {one["cause"]: one["needs"] for one in told["not_tested"]}
    assert "features, which have no sample rate" in needs["input.sample-rate"]
    assert told["signal"][0]["place"] == "features"
    run = capfix("generate", "--quiet", "-o", "out.csv")
    assert run.status == 0, run.err
    lines = (place / "out.csv").read_text().splitlines()
    assert len(lines) == CLIPS + 1
    assert "a rain is heard" in lines[2]


def test_captions_are_those_of_the_network_itself(place, capfix):
    run = capfix("generate", "model.pt", *ASKED, "--json")
    assert run.status == 0, run.err
    rows = {row["file_name"]: row["caption_predicted"] for row in json.loads(run.out)["captions"]}
    assert rows == {f"{row:03}.avi": f"a {KINDS[row % 4]} is heard" for row in range(CLIPS)}


def test_checking_an_adapter_over_features(place, capfix):
    run = capfix("adapter", "check", "my_adapter.py", "model.pt", "--features", "feat")
    assert run.status == 0, run.err
    assert "over features" in run.out
    assert "24 clips of features, [T, 8]" in run.err
    assert capfix("adapter", "check", "my_adapter.py", "model.pt").status == 0


@pytest.mark.slow
def test_retraining_over_features(place, capfix):
    run = capfix("diagnose", "new.pt", *ASKED, "--references", "feat.json", "--json")
    recipe = json.loads(run.out)["recipe"]
    assert recipe is not None, run.out
    run = capfix(
        *("retrain", recipe, "--captions", "train.json", "--features", "train"),
        *("--adapter", "my_adapter.py:load", "--references", "feat.json"),
        *("--epochs", "12", "-o", "after.pt", "--json"),
    )
    assert run.status == 0, run.err
    told = json.loads(run.out)
    assert told["after"]["audio"]["features"] == "[T, 8]"
    before, after = (told[when]["listening"]["reference_bits"] for when in ("before", "after"))
    assert after > before
    run = capfix("retrain", recipe, "--captions", "train.json", "--audio", "train", "-o", "b.pt")
    assert "reads features" in run.complaint


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--audio", "feat"), "reads features of width 8, no audio"),
        (("--features", "feat", "--audio", "feat"), "not both"),
        (("--features", "gone"), "no features at gone"),
        (("--features", "feat", "--references", "other.json"), "None of the 24 clips of features"),
        (("--features", "wide"), "[T, 5], and the captioner reads features of width 8"),
        (("--features", "feat", "--train-audio", "x", "--train-captions", "y"), "is audio"),
        ((), "Missing option"),
    ],
)
def test_bad_input_is_one_line(place, capfix, words, message):
    (place / "other.json").write_text('[{"id": "x", "caption": ["a dog"]}]')
    (place / "wide").mkdir()
    for row in range(24):
        np.save(place / "wide" / f"{row}.npy", np.random.default_rng(row).normal(size=(4, 5)))
    run = capfix("diagnose", "model.pt", "--adapter", "my_adapter.py:load", *words)
    assert message in run.err
    assert run.complaint


def test_own_captioners_take_audio_or_log_mel_of_their_width(place, capfix, tiny_model):
    run = capfix("diagnose", tiny_model, "--features", "feat")
    assert "[T, 8], and the captioner does not take them" in run.complaint


def test_inspecting_features_says_where_to_give_them(place, capfix):
    run = capfix("inspect", "feat/000.avi.npy")
    assert "[6, 8] float32 features: give them with --features" in run.complaint
