"""Captioners that are given features: how they are asked, what is refused, what is no audio."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from capfix_cli.captioners.base import Captioner
from capfix_cli.captioners.contract.contract_check import check_contract, quick_check
from capfix_cli.captioners.feature_captioner import (
    needs_features,
    over_features,
    over_synthetic,
    reads_features,
    refuse_audio,
)
from capfix_cli.core.errors import CapfixError
from capfix_cli.decoding.encode_pass import encode_and_caption
from capfix_cli.decoding.null_audio import make_absent
from capfix_cli.features.feature_set import open_features

CLIPS = 24
WORDS = ["<pad>", "<bos>", "<eos>", "low", "mid", "high", "loud"]


class Reader(Captioner):
    """Hears the mean frame of features [B, T, D], with its padding masked."""

    vocabulary = WORDS
    pad_id, bos_id, eos_id = 0, 1, 2
    max_length = 4

    def __init__(self, width: int = 6, *, only: bool = True) -> None:
        torch.manual_seed(0)
        self.module = nn.ModuleDict(
            {"first": nn.Linear(width, 8), "out": nn.Linear(16, len(WORDS))}
        )
        self.words = nn.Embedding(len(WORDS), 8)
        self.module["words"] = self.words
        if only:
            self.feature_width = width
        else:
            self.sample_rate = 16_000

    def encode_features(self, features, lengths):
        heard = self.module["first"](features)
        inside = torch.arange(heard.shape[1]) < lengths.unsqueeze(1)
        return (heard * inside.unsqueeze(2)).sum(1) / lengths.unsqueeze(1)

    def logits(self, prefix, memory):
        return self.module["out"](torch.cat([self.words(prefix[:, -1]), memory], dim=1))


@pytest.fixture
def folder(tmp_path):
    draw = np.random.default_rng(0)
    for row in range(CLIPS):
        np.save(tmp_path / f"{row:02}.npy", draw.normal(size=(5 + row % 3, 6)).astype("f4"))
    return tmp_path


def test_the_memory_is_that_of_the_features_themselves(folder):
    captioner = Reader()
    clips = open_features(folder)
    reading = over_features(captioner, clips)
    assert reads_features(reading)
    assert isinstance(reading, Reader)
    assert quick_check(reading) is None
    assert all(clause.kept for clause in check_contract(reading))
    done = encode_and_caption(reading, clips, batch_size=8, seed=0)
    assert len(done.captions) == CLIPS
    assert done.audio.features == "[T, 6]"
    held = {
        n: row for chunk in done.chunks for n, row in zip(chunk.names, chunk.memory, strict=True)
    }
    for name in ("00", "01", "02"):
        array = torch.from_numpy(np.load(folder / f"{name}.npy"))
        own = captioner.encode_features(array.unsqueeze(0), torch.tensor([len(array)]))[0]
        torch.testing.assert_close(held[name], own)


def test_who_reads_features_alone_is_given_no_audio(folder):
    captioner = Reader()
    assert needs_features(captioner)
    with pytest.raises(CapfixError, match="reads features of width 6") as told:
        refuse_audio(captioner)
    assert "--features" in told.value.hint
    refuse_audio(over_features(captioner, open_features(folder)))
    refuse_audio(Reader(only=False))
    assert all(clause.kept for clause in check_contract(over_synthetic(captioner)))


def test_another_width_names_the_layer_and_both_widths(folder):
    clips = open_features(folder)
    with pytest.raises(CapfixError, match=r"\[T, 6\], and the captioner reads .* width 4096"):
        over_features(Reader(4096), clips)
    with pytest.raises(CapfixError, match=r"the layer first, Linear, takes 512") as told:
        over_features(Reader(512, only=False), clips)
    assert "[T, 6]" in told.value.message
    assert "\n" not in told.value.message


def test_who_takes_waveforms_alone_is_told_so(folder):
    class Hears(Reader):
        encode_features = Captioner.encode_features

    with pytest.raises(CapfixError, match=r"has no encode_features"):
        over_features(Hears(), open_features(folder))


def test_who_takes_the_axes_the_other_way_round_gets_them_so(folder):
    class Turned(Reader):
        def encode_features(self, features, lengths):
            return super().encode_features(features.transpose(1, 2), lengths)

    reading = over_features(Turned(only=False), open_features(folder))
    assert reading.given.turned
    assert "[B, D, T]" in reading.given.notes[0]


def test_codes_go_to_embeddings_as_integers_and_to_layers_as_numbers(tmp_path):
    class Codes(Reader):
        def __init__(self) -> None:
            super().__init__(only=False)
            self.module["codes"] = nn.Embedding(32, 6)

        def encode_features(self, features, lengths):
            assert features.dtype == torch.int64
            return super().encode_features(self.module["codes"](features).mean(2), lengths)

    draw = np.random.default_rng(0)
    for row in range(CLIPS):
        np.save(tmp_path / f"{row}.npy", draw.integers(0, 32, (5 + row % 3, 6)))
    clips = open_features(tmp_path)
    codes = over_features(Codes(), clips)
    assert not codes.given.floating
    assert quick_check(codes) is None
    numbers = over_features(Reader(), clips)
    assert numbers.given.floating
    for noise in (False, True):
        features, _ = codes.given.give(*codes.blank_audio(noise=noise, seed=0))
        assert 0 <= int(features.min()) <= int(features.max()) < 32


def test_several_arrays_come_as_a_dict(tmp_path):
    class Two(Reader):
        def __init__(self) -> None:
            super().__init__()
            self.feature_width = {"fc": 3, "attn": 6}
            self.module["fc"] = nn.Linear(3, 8)

        def encode_features(self, features, lengths):
            assert features["fc"].shape[1:] == (1, 3)
            more = self.module["fc"](features["fc"][:, 0])
            return super().encode_features(features["attn"], lengths["attn"]) + more

    draw = np.random.default_rng(0)
    for row in range(CLIPS):
        for tree, shape in (("fc", (3,)), ("attn", (5 + row % 3, 6))):
            (tmp_path / tree).mkdir(exist_ok=True)
            np.save(tmp_path / tree / f"{row}.npy", draw.normal(size=shape).astype("f4"))
    clips = open_features(tmp_path)
    reading = over_features(Two(), clips)
    assert all(clause.kept for clause in check_contract(reading))
    assert all(clause.kept for clause in check_contract(over_synthetic(Two())))
    assert len(encode_and_caption(reading, clips, batch_size=8, seed=0).captions) == CLIPS
    with pytest.raises(CapfixError, match="reads the field fc"):
        over_features(Two(), open_features(tmp_path / "attn"))


@pytest.mark.parametrize("positive", [True, False])
def test_silence_is_nought_where_nothing_is_negative_and_the_mean_elsewhere(tmp_path, positive):
    draw = np.random.default_rng(0)
    every = []
    for row in range(CLIPS):
        array = draw.normal(size=(6, 6)).astype("f4") * 2 + 5 * np.arange(6, dtype="f4")
        every.append(np.maximum(array, 0) if positive else array)
        np.save(tmp_path / f"{row}.npy", every[-1])
    reading = over_features(Reader(), open_features(tmp_path))
    quiet, lengths = reading.blank_audio(noise=False, seed=0)
    assert quiet.shape == (1, int(lengths), 6)
    whole = np.concatenate(every)
    wanted = np.zeros(6) if positive else whole.mean(axis=0)
    np.testing.assert_allclose(quiet[0, 0], wanted, atol=1e-4)
    noise, _ = reading.blank_audio(noise=True, seed=0)
    assert torch.equal(noise, reading.blank_audio(noise=True, seed=0)[0])
    assert not torch.equal(noise, reading.blank_audio(noise=True, seed=1)[0])
    assert make_absent(reading, "noise", None, 0, 0).memory.shape == (1, 8)
