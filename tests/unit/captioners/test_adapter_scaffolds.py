"""Scaffolds use what the file has, and write no guess as an answer."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from capfix_cli.captioners.adapter_template import GAP, new_adapter


class Conv(nn.Module):
    def __init__(self, bands=64):
        super().__init__()
        self.batch_norm = nn.BatchNorm2d(bands)
        self.conv = nn.Conv2d(1, 8, 3)


class Words(nn.Module):
    def __init__(self, combine=False):
        super().__init__()
        self.embedding = nn.Embedding(50, 16)
        self.gru = nn.GRU(16 + 8, 24)
        self.out = nn.Linear(24, 50)
        if combine:
            self.attn, self.attn_combine = nn.Linear(40, 10), nn.Linear(40, 16)


class Whole(nn.Module):
    def __init__(self, combine=False):
        super().__init__()
        self.encoder, self.decoder = Conv(), Words(combine)


def scaffold(kept, tmp_path):
    torch.save(kept, tmp_path / "m.pt")
    text = new_adapter(str(tmp_path / "m.pt"))
    compile(text, "adapter.py", "exec")
    return text


def line(text, start):
    return next(row for row in text.splitlines() if row.strip().startswith(start))


def test_a_guess_is_told_as_a_gap(tmp_path):
    bands = line(scaffold(Whole().state_dict(), tmp_path), "n_mels=")
    assert bands.strip().startswith("n_mels=...,")
    assert f"{GAP}: mel bands; perhaps 64" in bands


@pytest.mark.parametrize("parts", [False, True])
def test_the_classes_of_pickled_modules_are_imported(parts, tmp_path):
    net = Whole()
    text = scaffold({"encoder": net.encoder, "decoder": net.decoder} if parts else net, tmp_path)
    named = ("Conv", "Words") if parts else ("Whole",)
    for name in named:
        assert f"from {__name__} import {name}" in text
        assert f"{name}()" in text
    assert "your_project" not in text


def test_settings_paths_and_scalers_are_used(tmp_path):
    kept = {
        "state_dict": Whole().state_dict(),
        "hyper_parameters": {"hidden": 24, "name": "small", "optimizer": {"lr": 1}},
        "config": {"data": {"vocab_file": "data/words.json"}},
        "norm": {"mean": torch.zeros(64), "std": torch.ones(64)},
    }
    text = scaffold(kept, tmp_path)
    assert "Network(hidden=24, name='small')" in text
    assert 'load_vocabulary("data/words.json")' in text.replace("'", '"')
    assert "config.data.vocab_file names" in text
    assert "scale = capfix_cli.load_scaler(checkpoint)  # mean and deviation of 64 numbers" in text


def test_what_no_class_does_is_told(tmp_path):
    assert "attn_combine joins word and context" in scaffold(Whole(combine=True), tmp_path)


def test_settings_that_are_code_are_no_settings(tmp_path):
    kept = {
        "state_dict": Whole().state_dict(),
        "hyper_parameters": {"hidden": 24, "x=1); import os #": 1, "made": Whole},
        "config": {"vocab": "x'); import os; ('.json"},
    }
    text = scaffold(kept, tmp_path)
    assert "import os" not in text
    assert "Network(hidden=24)" in text
