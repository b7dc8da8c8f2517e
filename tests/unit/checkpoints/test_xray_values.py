"""The X-ray from values: untrained layers, mel settings, encoders; bytes read as they lie."""

from __future__ import annotations

import contextlib
import json
import re
import struct
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
import torchaudio
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from benchmarks.zoo import hugging
from capfix_cli.captioners.own import own_checkpoint
from capfix_cli.captioners.own.own_captioner import SPECIAL, OwnCaptioner
from capfix_cli.captioners.own.own_config import PRIORITY_3
from capfix_cli.checkpoints.formats.checkpoint_folder import read_whole
from capfix_cli.checkpoints.formats.file_format import read_content
from capfix_cli.checkpoints.formats.tensor_info import TensorInfo, TensorPlace
from capfix_cli.checkpoints.formats.tensor_values import MOST_VALUES, read_values, sample_values
from capfix_cli.checkpoints.inspection import inspect_checkpoint
from capfix_cli.checkpoints.xray.initial_distributions import is_normal, is_uniform
from capfix_cli.checkpoints.xray.mel_bank import MelSettings, fit_mel_bank, mel_bank
from capfix_cli.checkpoints.xray.untrained_model import shortest_places
from capfix_cli.core.errors import CapfixError

LAYOUTS = ("zip", "legacy", "safetensors")


def save(state, path, layout="zip"):
    if layout == "safetensors":
        from safetensors.torch import save_file

        save_file({name: t.contiguous().clone() for name, t in state.items()}, path)
    else:
        torch.save(state, path, _use_new_zipfile_serialization=layout == "zip")
    return path


def facts_of(state, folder):
    return inspect_checkpoint(str(save(state, folder / "facts.pt"))).facts


# --- reading values


def kinds_of_numbers():
    torch.manual_seed(0)
    drawn = torch.randn(7, 5) * 50
    whole = ("int64", "int32", "int16", "int8", "uint8", "bool")
    fractional = ("float64", "float32", "float16", "bfloat16")
    return {name: drawn.to(getattr(torch, name)) for name in (*whole, *fractional)}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_values_of_every_kind_are_those_that_torch_wrote(layout, tmp_path):
    state = kinds_of_numbers() | {"one": torch.tensor(3), "none": torch.zeros(0, 4)}
    found = read_content(save(state, tmp_path / "m", layout)).tensors
    names = {name.removeprefix("state_dict."): tensor for name, tensor in found.items()}
    assert names.keys() == state.keys()
    for name, tensor in names.items():
        values = read_values(tensor, 100)
        assert values.shape == tuple(state[name].shape), name
        assert np.array_equal(values, state[name].double().numpy()), name


@pytest.mark.parametrize("layout", ["zip", "legacy"])
def test_views_are_read_in_their_order(layout, tmp_path):
    base = torch.arange(60.0).reshape(6, 10)
    views = {
        "turned": base.T,
        "part": base[2:4, 3:7],
        "every_other": base[::2, ::3],
        "one": base[3, 4],
        "expanded": base[:1].expand(5, 10),
        "base": base,
    }
    found = read_content(save(views, tmp_path / "m", layout)).tensors
    for name, view in views.items():
        assert np.array_equal(read_values(found[name], 100), view.numpy()), name
        sampled = sample_values(found[name], 100)
        assert sorted(sampled) == sorted(view.flatten().tolist()), name
    assert len({tensor.place for tensor in found.values()}) == 1


def test_the_most_significant_byte_may_come_first(tmp_path):
    path = tmp_path / "bytes"
    path.write_bytes(b"??" + struct.pack(">3f", 1.5, -2, 1e-3))
    tensor = TensorInfo("w", (3,), "float32", place=TensorPlace(path, 2, 12, big_endian=True))
    assert np.array_equal(read_values(tensor, 3), np.array([1.5, -2, 1e-3], dtype=np.float32))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_sample_is_spread_over_the_whole_tensor(layout, tmp_path):
    state = {"small": torch.arange(3.0), "w": torch.arange(1_000_000.0).reshape(1000, 1000)}
    found = read_content(save(state, tmp_path / "m", layout)).tensors
    tensor = next(t for name, t in found.items() if name.endswith("w"))
    values = sample_values(tensor, 1600)
    assert len(values) == len(np.unique(values)) == 1600
    assert values[0] == 0
    assert values[-1] == 999_999
    starts = values.reshape(16, 100)[:, 0]
    assert np.ptp(np.diff(starts)) <= 1
    assert len(sample_values(tensor)) == MOST_VALUES
    assert read_values(tensor, 999_999) is None


def test_compressed_storages_are_not_read_and_said_so(tmp_path):
    torch.save({"norm.weight": torch.ones(9), "norm.bias": torch.zeros(9)}, tmp_path / "m.pt")
    packed = zipfile.ZipFile(tmp_path / "packed.pt", "w", zipfile.ZIP_DEFLATED)
    with zipfile.ZipFile(tmp_path / "m.pt") as made, packed as archive:
        for entry in made.infolist():
            archive.writestr(entry.filename, made.read(entry))
    found = inspect_checkpoint(str(tmp_path / "packed.pt"))
    assert [tensor.name for tensor in found.tensors] == ["norm.weight", "norm.bias"]
    assert found.facts["weights.untrained"].value is None
    assert "without loading" in found.facts["weights.untrained"].evidence[0]


def test_numbers_of_unknown_kinds_are_left_alone(tmp_path):
    state = {"w": torch.zeros(8, 8, dtype=torch.complex64), "v": torch.ones(4)}
    torch.save(state | {"f8": torch.ones(9).to(torch.float8_e4m3fn)}, tmp_path / "m.pt")
    found = read_content(tmp_path / "m.pt").tensors
    assert found["f8"].dtype == "float8_e4m3fn"
    assert found["f8"].bytes == 9
    assert sample_values(found["w"]) is None
    assert sample_values(found["f8"]) is None
    assert list(sample_values(found["v"])) == [1, 1, 1, 1]


NUMBERS = st.one_of(st.integers(-3, 40), st.sampled_from([2**31, 2**60, 2**63, 2**200, -(2**60)]))
SHAPES = st.lists(NUMBERS, max_size=4).map(tuple)


@settings(max_examples=400)
@given(
    shape=SHAPES,
    stride=st.one_of(st.none(), SHAPES),
    offset=NUMBERS,
    claimed=st.one_of(st.none(), NUMBERS),
    dtype=st.sampled_from(["float32", "bfloat16", "int8", "complex64", "qint8", "unknown"]),
    size=st.integers(0, 90),
    most=st.integers(0, 30),
)
def test_no_claim_makes_the_reader_read_elsewhere(
    shape, stride, offset, claimed, dtype, size, most
):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "bytes")
        # Outside the storage lies 0xff: NaN in every kind of float, -1 or 255 in bytes.
        path.write_bytes(b"\xff" * 16 + bytes(size) + b"\xff" * 16)
        place = TensorPlace(path, 16, size)
        tensor = TensorInfo("w", shape, dtype, "0", offset, stride, claimed, place)
        for read in (read_values, sample_values):
            values = None
            with contextlib.suppress(CapfixError):  # any other error fails the test
                values = read(tensor, most)
            if values is not None:
                assert values.size <= most
                assert not np.any(values)


@settings(max_examples=150)
@given(
    data=st.data(),
    kind=st.sampled_from(["float64", "float32", "float16", "bfloat16", "int64"]),
    piece=st.one_of(st.binary(min_size=8, max_size=64), st.sampled_from([b"\x7f", b"\x01", b"\0"])),
)
def test_no_values_trip_the_xray(data, kind, piece):
    """Whatever bytes stand for numbers: NaN, infinities, the largest, the smallest."""
    shapes = {
        "encoder.fc.weight": (24, 24),
        "encoder.fc.bias": (24,),
        "encoder.norm.weight": (24,),
        "encoder.norm.bias": (24,),
        "bn0.running_mean": (24,),
        "bn0.running_var": (24,),
        "mel_scale.fb": (33, 8),
        "decoder.embedding.weight": (30, 24),
        "decoder.gru.weight_ih_l0": (72, 24),
        "decoder.gru.weight_hh_l0": (72, 24),
        "decoder.gru.bias_hh_l0": (72,),
    }
    header, content = {}, b""
    for name, shape in shapes.items():
        item = torch.empty(0, dtype=getattr(torch, kind)).element_size()
        size = int(np.prod(shape)) * item
        part = piece if data.draw(st.booleans()) else bytes(reversed(piece))
        names = {"float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16"}
        header[name] = {
            "dtype": names.get(kind, "I64"),
            "shape": shape,
            "data_offsets": [len(content), len(content) + size],
        }
        content += (part * size)[:size]
    text = json.dumps(header).encode()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "m.safetensors")
        path.write_bytes(struct.pack("<Q", len(text)) + text + content)
        facts = inspect_checkpoint(str(path)).facts
    assert facts["weights.untrained"].evidence
    assert facts["features.sample-rate"].value is None


def test_a_file_that_ends_early_is_said_to(tmp_path):
    path = tmp_path / "bytes"
    path.write_bytes(bytes(8))
    tensor = TensorInfo("w", (4,), "float32", place=TensorPlace(path, 0, 16))
    with pytest.raises(CapfixError, match="ended while it was read"):
        sample_values(tensor)
    path.unlink()
    with pytest.raises(CapfixError, match="cannot be read"):
        sample_values(tensor)


# --- untrained weights


class Captioner(nn.Module):
    """CNN and GRU; large enough for its layers to be judged."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.ModuleDict(
            {
                "conv1": nn.Conv1d(20, 32, 3, padding=1),
                "bn1": nn.BatchNorm1d(32),
                "conv2": nn.Conv1d(32, 32, 3, padding=1),
                "bn2": nn.BatchNorm1d(32),
            }
        )
        self.decoder = nn.ModuleDict(
            {
                "embedding": nn.Embedding(40, 32),
                "gru": nn.GRU(64, 32, batch_first=True),
                "norm": nn.LayerNorm(32),
                "out": nn.Linear(32, 40),
            }
        )

    def forward(self, features, words):
        heard = features
        for number in ("1", "2"):
            heard = torch.relu(self.encoder[f"bn{number}"](self.encoder[f"conv{number}"](heard)))
        heard = heard.mean(dim=2, keepdim=True).transpose(1, 2).expand(-1, words.shape[1], -1)
        both = torch.cat([self.decoder["embedding"](words), heard], dim=2)
        hidden, _ = self.decoder["gru"](both)
        return self.decoder["out"](self.decoder["norm"](hidden))


def train(network, steps, *, frozen=(), rate=1e-3):
    torch.manual_seed(1)
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(not any(name.startswith(part) for part in frozen))
    learned = [p for p in network.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(learned, lr=rate)
    for _ in range(steps):
        words = torch.randint(40, (8, 5))
        scores = network(torch.randn(8, 20, 12), words)
        loss = nn.functional.cross_entropy(scores.flatten(0, 1), words.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return network


def fresh():
    torch.manual_seed(0)
    return Captioner()


@pytest.fixture(scope="module")
def trained():
    return train(fresh(), 200).state_dict()


def transformer():
    torch.manual_seed(0)
    return nn.ModuleDict(
        {
            "encoder": nn.TransformerEncoder(
                nn.TransformerEncoderLayer(32, 2, 64), 2, enable_nested_tensor=False
            ),
            "decoder": nn.TransformerDecoder(nn.TransformerDecoderLayer(32, 2, 64), 2),
            "lstm": nn.LSTM(32, 24, 2, bidirectional=True),
            "up": nn.ConvTranspose1d(16, 16, 4),
            "groups": nn.Conv2d(32, 32, 3, groups=4),
        }
    )


def hand_made():
    """Xavier weights and zero biases, as in PANNs' init_layer; uniform ones, as in many scripts."""
    network = fresh()
    for layer in (network.encoder["conv1"], network.encoder["conv2"]):
        nn.init.xavier_uniform_(layer.weight)
        nn.init.zeros_(layer.bias)
    nn.init.uniform_(network.decoder["out"].weight, -0.1, 0.1)
    nn.init.zeros_(network.decoder["out"].bias)
    nn.init.normal_(network.decoder["embedding"].weight, std=0.02)
    return network


@pytest.mark.parametrize("make", [fresh, transformer, hand_made])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_a_fresh_model_is_untrained(make, dtype, tmp_path):
    state = make().to(dtype).state_dict()
    facts = facts_of(state, tmp_path)
    fact = facts["weights.untrained"]
    assert fact.value is True, fact
    assert fact.confidence == 0.95
    assert facts["weights.initial-layers"].value >= 6


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_say_the_same_of_training(layout, tmp_path, trained):
    for state, value in ((fresh().state_dict(), True), (trained, False)):
        found = inspect_checkpoint(str(save(state, tmp_path / "m", layout)))
        assert found.facts["weights.untrained"].value is value


def test_a_fresh_hugging_face_model_is_untrained(tmp_path):
    folder = hugging.save_whisper(tmp_path / "whisper")
    facts = inspect_checkpoint(str(folder)).facts
    assert facts["weights.untrained"].value is True, facts["weights.untrained"]
    assert facts["encoder.kind"].value == "transformer"
    assert facts["encoder.layers"].value == 2


def test_a_trained_model_is_not_untrained(tmp_path, trained):
    facts = facts_of(trained, tmp_path)
    fact = facts["weights.untrained"]
    assert fact.value is False, fact
    assert fact.confidence == 0.95
    assert facts["weights.initial-layers"].value == 0
    assert any("running statistics" in line for line in fact.evidence)


def test_a_few_small_steps_are_seen(tmp_path):
    fact = facts_of(train(fresh(), 10, rate=1e-4).state_dict(), tmp_path)["weights.untrained"]
    assert fact.value is False, fact


def test_a_frozen_embedding_does_not_make_a_model_untrained(tmp_path):
    state = train(fresh(), 60, frozen=["decoder.embedding"]).state_dict()
    assert torch.equal(state["decoder.embedding.weight"], fresh().decoder["embedding"].weight)
    fact = facts_of(state, tmp_path)["weights.untrained"]
    assert fact.value is False, fact
    assert any("decoder.embedding may be initial" in line for line in fact.evidence)
    alone = {"embedding.weight": torch.randn(100, 64)}
    assert facts_of(alone, tmp_path)["weights.untrained"].value is None


def test_an_encoder_left_at_random_is_named(tmp_path, trained):
    state = {
        n: t if n.startswith("decoder") else fresh().state_dict()[n] for n, t in trained.items()
    }
    facts = facts_of(state, tmp_path)
    fact = facts["weights.untrained"]
    assert fact.value is None
    assert fact.evidence[0].startswith("encoder.* still initial (4 of ")
    assert any(line.startswith("decoder.* changed") for line in fact.evidence)
    assert facts["weights.initial-layers"].value == 4
    assert any("encoder.conv1: uniform" in e for e in facts["weights.initial-layers"].evidence)
    assert "encoder.*" in facts["weights.initial-layers"].evidence


def test_one_layer_left_at_random_is_named(tmp_path, trained):
    torch.manual_seed(5)
    state = trained | {f"decoder.out.{n}": t for n, t in nn.Linear(32, 40).state_dict().items()}
    fact = facts_of(state, tmp_path)["weights.untrained"]
    assert fact.value is None
    assert fact.evidence[0] == "decoder.out still initial (1 of 7 layers)"


def test_a_norm_that_is_never_called_is_no_sign(tmp_path, trained):
    state = trained | {f"decoder.spare.{n}": t for n, t in nn.LayerNorm(32).state_dict().items()}
    fact = facts_of(state, tmp_path)["weights.untrained"]
    assert fact.value is False, fact
    assert any("decoder.spare never used" in line for line in fact.evidence)


def test_batch_norms_are_judged_by_their_statistics(tmp_path):
    norm = nn.BatchNorm1d(16)
    assert "no batch tracked" in str(facts_of({"bn": 0} | _of(norm), tmp_path)["weights.untrained"])
    norm(torch.randn(8, 16))  # as constructors do to learn a shape: nothing was trained
    dry = facts_of(_of(norm), tmp_path)["weights.untrained"]
    assert dry.value is True
    assert "dry run" in str(dry)
    for _ in range(3):
        norm(torch.randn(8, 16))
    moved = facts_of(_of(norm), tmp_path)["weights.untrained"]
    assert moved.value is False
    assert "running statistics were taken" in str(moved)
    still = nn.BatchNorm1d(16).eval()
    with torch.no_grad():
        still.weight.mul_(1.5)
    assert "no running statistics" in str(facts_of(_of(still), tmp_path)["weights.untrained"])


def _of(norm):
    return {f"encoder.bn.{name}": tensor for name, tensor in norm.state_dict().items()}


def test_too_few_values_are_not_judged(tmp_path):
    fact = facts_of({f"fc.{n}": t for n, t in nn.Linear(9, 9).state_dict().items()}, tmp_path)
    assert fact["weights.untrained"].value is None
    assert "no layer has values enough" in fact["weights.untrained"].evidence[0]


def test_spectrograms_and_mel_filters_are_no_layers(tmp_path):
    kernel = {"spectrogram_extractor.stft.conv_real.weight": torch.randn(33, 1, 64)}
    fact = facts_of(fresh().state_dict() | kernel, tmp_path)["weights.untrained"]
    assert fact.value is True, fact


def test_broken_weights_are_not_initial(tmp_path):
    state = fresh().state_dict()
    state["decoder.out.weight"][3, 4] = float("nan")
    fact = facts_of(state, tmp_path)["weights.untrained"]
    assert fact.value is None
    assert "decoder.out changed" in str(fact.evidence)


@settings(max_examples=60)
@given(
    seed=st.integers(0, 10_000),
    count=st.integers(512, 20_000),
    bound=st.floats(1e-4, 1e3),
    moved=st.floats(0.05, 2),
)
def test_uniform_samples_pass_and_moved_ones_do_not(seed, count, bound, moved):
    drawn = np.random.default_rng(seed).uniform(-bound, bound, count)
    assert is_uniform(np.sort(drawn), bound, 2.0**-23)
    noise = np.random.default_rng(seed + 1).normal(0, moved * bound, count)
    assert not is_uniform(np.sort(drawn + noise), bound, 2.0**-23)
    assert not is_uniform(np.sort(drawn * 0.9), bound, 2.0**-23)
    if count > 4_000:  # fewer cannot tell the two shapes apart, only their edges
        assert not is_normal(np.sort(drawn), bound / 3**0.5)


@settings(max_examples=60)
@given(seed=st.integers(0, 10_000), count=st.integers(512, 20_000))
def test_normal_samples_pass_and_others_do_not(seed, count):
    drawn = np.random.default_rng(seed).normal(0, 0.02, count)
    assert is_normal(np.sort(drawn), 0.02)
    assert not is_normal(np.sort(drawn * 1.5), 0.02)
    assert not is_uniform(np.sort(drawn), float(np.max(np.abs(drawn))), 2.0**-23)


def test_places_are_the_shortest_that_hold_no_others():
    names = ["a.b.c", "a.b.d", "a.e", "f.g", "h"]
    assert shortest_places(names, ["a.b.c", "a.b.d", "h"]) == ["a.b.*", "h"]
    assert shortest_places(names, ["a.b.c", "f.g"]) == ["a.b.c", "f.g"]
    assert shortest_places(names, names) == ["a.*", "f.g", "h"]


# --- encoders


def numbered(kind, count, width=8):
    """Blocks of a Transformer by the names of a kind of library."""
    names = {
        "torch": ("encoder.layers.{}.self_attn.in_proj_weight", "encoder.layers.{}.linear1.weight"),
        "bert": (
            "encoder.layer.{}.attention.self.query.weight",
            "encoder.layer.{}.output.dense.weight",
        ),
        "t5": (
            "encoder.block.{}.layer.0.SelfAttention.q.weight",
            "encoder.block.{}.layer.1.DenseReluDense.wi.weight",
        ),
        "timm": ("blocks.{}.attn.qkv.weight", "blocks.{}.mlp.fc1.weight"),
        "htsat": ("layers.0.blocks.{}.attn.qkv.weight", "layers.0.blocks.{}.mlp.fc1.weight"),
        # Norm, then a function, in numbered pairs, as in ACT (Mei et al., 2021) and vit-pytorch.
        "prenorm": (
            "encoder.blocks.layers.{}.0.norm.weight",
            "encoder.blocks.layers.{}.0.fn.qkv.weight",
            "encoder.blocks.layers.{}.0.fn.proj.0.weight",
            "encoder.blocks.layers.{}.1.fn.mlp.fc1.weight",
        ),
        "vit-pytorch": (
            "encoder.transformer.layers.{}.0.fn.to_qkv.weight",
            "encoder.transformer.layers.{}.1.fn.net.0.weight",
        ),
    }[kind]
    return {n.format(i): torch.randn(width, width) for i in range(count) for n in names}


def pann(blocks):
    state = {}
    for block in range(1, blocks + 1):
        for number in (1, 2):
            state[f"conv_block{block}.conv{number}.weight"] = torch.randn(8, 8, 3, 3)
            state[f"conv_block{block}.bn{number}.running_var"] = torch.ones(8)
    return state | {"fc1.weight": torch.randn(8, 8)}


RESNET = {
    "conv1.weight": torch.randn(8, 1, 7, 7),
    "layer1.0.conv1.weight": torch.randn(8, 8, 3, 3),
    "layer2.0.downsample.0.weight": torch.randn(8, 8, 1, 1),
    "fc.weight": torch.randn(5, 8),
}
GRU_DECODER = {
    "decoder.embedding.weight": torch.randn(30, 8),
    "decoder.gru.weight_ih_l0": torch.randn(24, 8),
    "decoder.gru.weight_hh_l0": torch.randn(24, 8),
    "decoder.out.weight": torch.randn(30, 8),
}
ENCODERS = {
    "torch": (numbered("torch", 3), "transformer", 3),
    "bert": (numbered("bert", 4), "transformer", 4),
    "t5": (numbered("t5", 2), "transformer", 2),
    "timm": (numbered("timm", 5), "transformer", 5),
    "htsat": (numbered("htsat", 2), "transformer", 2),
    "prenorm": (
        numbered("prenorm", 5) | {"encoder.patch_embed.proj.weight": torch.randn(8, 16)},
        "transformer",
        5,
    ),
    "vit-pytorch": (numbered("vit-pytorch", 3), "transformer", 3),
    # A pooling by fused attention among numbered layers, with no feed-forward part beside it.
    "fused-pooling": (
        pann(1) | {"encoder.pool.3.to_qkv.weight": torch.randn(24, 8)},
        "cnn",
        None,
    ),
    "patches": (
        numbered("torch", 2) | {"encoder.patch_embed.proj.weight": torch.randn(8, 1, 4, 4)},
        "transformer",
        2,
    ),
    "panns": (pann(4), "cnn", None),
    "resnet": (RESNET, "cnn", None),
    "crnn": (
        pann(1) | {"encoder.rnn.weight_hh_l0": torch.randn(24, 8)},
        "cnn",
        1,
    ),
    "rnn": (
        {f"encoder.rnn.weight_{m}_l{i}": torch.randn(24, 8) for i in (0, 1) for m in ("ih", "hh")},
        "rnn",
        2,
    ),
    "linear": ({"encoder.proj.weight": torch.randn(8, 16)}, "linear", None),
    "none": ({}, "none", None),
    "pooling": (
        pann(1) | {"encoder.pool.attn.in_proj_weight": torch.randn(24, 8)},
        "cnn",
        None,
    ),
}


@pytest.mark.parametrize("name", ENCODERS)
def test_encoders_are_recognised_beside_a_decoder(name, tmp_path):
    state, kind, layers = ENCODERS[name]
    facts = facts_of(state | GRU_DECODER, tmp_path)
    assert facts["encoder.kind"].value == kind, facts["encoder.kind"]
    assert facts["encoder.layers"].value == layers
    assert facts["decoder.kind"].value == "gru"
    assert facts["encoder.kind"].evidence


def test_a_decoder_that_follows_an_encoder_of_its_own_kind_is_not_counted(tmp_path):
    facts = facts_of(transformer().state_dict(), tmp_path)
    assert facts["encoder.layers"].value == 2
    assert facts["decoder.layers"].value == 2
    prefix = numbered("torch", 3) | {
        f"gpt.transformer.h.{i}.{n}.weight": torch.randn(8, 8)
        for i in range(4)
        for n in ("attn.c_attn", "mlp.c_fc")
    }
    facts = facts_of(prefix, tmp_path)
    assert (facts["encoder.layers"].value, facts["decoder.layers"].value) == (3, 4)
    assert facts["decoder.kind"].value == "transformer"
    assert facts["conditioning"].value is None


def test_a_recurrent_decoders_attention_is_no_transformer(tmp_path):
    words = [*SPECIAL, *(f"word{number}" for number in range(40))]
    path = own_checkpoint.save(OwnCaptioner(PRIORITY_3, words), tmp_path / "own.pt")
    facts = inspect_checkpoint(str(path)).facts
    assert facts["decoder.kind"].value == "gru"
    assert facts["conditioning"].value == "additive-attention"
    assert facts["encoder.kind"].value == "cnn"
    assert facts["features.sample-rate"].value == 16_000
    assert facts["weights.untrained"].value is True


LANGUAGE_MODELS = {
    "gpt2": (
        ("transformer.wte.weight", "transformer.wpe.weight"),
        ("transformer.h.{}.attn.c_attn.weight", "transformer.h.{}.mlp.c_fc.weight"),
    ),
    "llama": (
        ("model.embed_tokens.weight", "lm_head.weight"),
        ("model.layers.{}.self_attn.q_proj.weight", "model.layers.{}.mlp.up_proj.weight"),
    ),
}


@pytest.mark.parametrize("name", LANGUAGE_MODELS)
def test_a_language_model_alone_is_a_decoder_and_no_encoder(name, tmp_path):
    tables, blocks = LANGUAGE_MODELS[name]
    state = {table: torch.randn(30, 8) for table in tables}
    state |= {part.format(i): torch.randn(8, 8) for i in range(3) for part in blocks}
    facts = facts_of(state, tmp_path)
    assert (facts["decoder.kind"].value, facts["decoder.layers"].value) == ("transformer", 3)
    assert facts["encoder.kind"].value == "none", facts["encoder.kind"]
    assert "own tokens" in facts["conditioning"].evidence[0]
    # With something that is named like an encoder beside it, it is another matter.
    facts = facts_of(state | numbered("torch", 2), tmp_path)
    assert (facts["encoder.kind"].value, facts["encoder.layers"].value) == ("transformer", 2)


def test_words_that_only_contain_enc_are_no_encoder(tmp_path):
    state = {"sequence.frequency.weight": torch.randn(4, 4)} | GRU_DECODER
    assert facts_of(state, tmp_path)["encoder.kind"].value is None


# --- features


def test_mel_settings_are_read_from_torchaudios_buffers(tmp_path):
    front = torchaudio.transforms.MelSpectrogram(
        32_000, 1024, win_length=800, f_min=50, f_max=14_000, n_mels=64, mel_scale="slaney"
    )
    state = {f"frontend.{name}": tensor for name, tensor in front.state_dict().items()}
    facts = facts_of(fresh().state_dict() | state, tmp_path)
    assert {name: fact.value for name, fact in facts.items() if name.startswith("features.")} == {
        "features.n_mels": 64,
        "features.n_fft": 1024,
        "features.sample-rate": 32_000,
        "features.f_min": 50,
        "features.f_max": 14_000,
        "features.mel-scale": "slaney",
    }
    assert all(facts[name].evidence for name in facts)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("turned", [False, True])
def test_mel_settings_are_read_by_torchlibrosas_names(turned, dtype, tmp_path):
    bank = torchaudio.functional.melscale_fbanks(513, 50, 14_000, 64, 32_000, "slaney", "slaney")
    state = {
        "spectrogram_extractor.stft.conv_real.weight": torch.randn(513, 1, 1024),
        "logmel_extractor.melW": (bank.T if turned else bank).to(dtype),
    }
    facts = facts_of(pann(2) | state, tmp_path)
    values = {name.partition(".")[2]: f.value for name, f in facts.items() if "features." in name}
    assert values["sample-rate"] == 32_000
    assert (values["n_mels"], values["n_fft"]) == (64, 1024)
    assert (values["f_min"], values["f_max"], values["mel-scale"]) == (50, 14_000, "slaney")
    assert "filters of equal area" in facts["features.mel-scale"].evidence
    assert facts["encoder.conv-layers"].value == 4


def test_a_spectrograms_kernel_alone_gives_its_length(tmp_path):
    one = {"spectrogram_extractor.stft.conv_real.weight": torch.randn(513, 1, 1024)}
    assert facts_of(one, tmp_path)["features.n_fft"].value == 1024
    stacked = {"stft_conv.weight": torch.randn(258, 1, 256)}
    assert facts_of(stacked, tmp_path)["features.n_fft"].value == 256
    assert "features.n_mels" not in facts_of(stacked, tmp_path)
    no_kernel = {"stft_conv.weight": torch.randn(99, 1, 256)}
    assert "features.n_fft" not in facts_of(no_kernel, tmp_path)


def test_unusual_settings_are_left_undecided(tmp_path):
    bank = torchaudio.functional.melscale_fbanks(201, 33, 4_321, 40, 10_000, None, "htk")
    facts = facts_of({"mel_scale.fb": bank}, tmp_path)
    assert (facts["features.n_mels"].value, facts["features.n_fft"].value) == (40, 400)
    for name in ("sample-rate", "f_min", "f_max", "mel-scale"):
        assert facts[f"features.{name}"].value is None
        assert "no usual settings" in facts[f"features.{name}"].evidence[0]


@pytest.mark.filterwarnings("ignore:At least one mel filterbank:UserWarning")
@settings(max_examples=40)
@given(
    rate=st.sampled_from([8_000, 16_000, 22_050, 32_000, 44_100, 48_000]),
    low=st.sampled_from([0.0, 20.0, 50.0, 125.0]),
    n_fft=st.sampled_from([400, 512, 1024, 2048]),
    bands=st.sampled_from([40, 64, 80, 128]),
    scale=st.sampled_from(["htk", "slaney"]),
    area=st.booleans(),
)
def test_the_fit_finds_what_a_bank_was_made_with(rate, low, n_fft, bands, scale, area):
    given_ = MelSettings(rate, low, rate / 2, scale, area)
    bank = mel_bank(n_fft // 2 + 1, bands, given_)
    theirs = torchaudio.functional.melscale_fbanks(
        n_fft // 2 + 1, low, rate / 2, bands, rate, "slaney" if area else None, scale
    )
    assert np.allclose(bank, theirs.numpy(), atol=1e-4)
    assert given_ in fit_mel_bank(theirs.double().numpy())


def test_noise_is_no_mel_bank():
    rng = np.random.default_rng(0)
    assert fit_mel_bank(rng.uniform(size=(513, 64))) == []
    assert fit_mel_bank(np.zeros((513, 64))) == []
    assert fit_mel_bank(np.full((513, 64), np.nan)) == []


@pytest.mark.parametrize(
    ("mean", "deviation", "scale"),
    [(-30, 18.0, "dB"), (-5, 4.6, "ln"), (0.25, 1.25, None), (0, 90, None)],
)
def test_band_statistics_hint_at_the_log_scale(mean, deviation, scale, tmp_path):
    norm = {
        "bn0.running_mean": torch.full((64,), float(mean)),
        "bn0.running_var": torch.full((64,), float(deviation) ** 2),
        "bn0.weight": torch.ones(64),
    }
    facts = facts_of(pann(1) | norm, tmp_path)
    assert facts["features.log-scale"].value == scale
    assert facts["features.bn-mean"].value == mean
    assert facts["features.bn-std"].value == pytest.approx(deviation, abs=1e-3)
    assert facts["features.n_mels"].value == 64
    norm |= {"bn0.running_mean": torch.zeros(64), "bn0.running_var": torch.ones(64)}
    assert "features.bn-mean" not in facts_of(pann(1) | norm, tmp_path)


def test_a_folders_tokenizer_and_preprocessor_are_read(tmp_path):
    folder = hugging.save_whisper(tmp_path / "whisper")
    told = json.loads((folder / "preprocessor_config.json").read_text())
    found = inspect_checkpoint(str(folder))
    facts = found.facts
    assert found.vocabulary.source == "tokenizer.json.vocab"
    assert found.vocabulary.size == facts["vocabulary.size"].value
    assert found.vocabulary.special["</s>"] == 2
    (folder / "tokenizer.json").write_text("{")
    assert inspect_checkpoint(str(folder)).vocabulary is None
    assert facts["features.sample-rate"].value == told["sampling_rate"]
    assert facts["features.n_mels"].value == told["feature_size"]
    assert "preprocessor_config.json" in facts["features.n_mels"].evidence[0]


def test_sizes_count_shared_numbers_once(tmp_path):
    shared = torch.randn(10, 4)
    state = {
        "embedding.weight": shared,
        "out.weight": shared,
        "b": torch.zeros(3, dtype=torch.half),
    }
    found = inspect_checkpoint(str(save(state, tmp_path / "m.pt")))
    assert [(t.elements, t.bytes) for t in found.tensors] == [(40, 160), (40, 160), (3, 6)]
    assert (found.elements, found.bytes) == (43, 166)
    assert found.facts["output.tied"].value is True


def test_shards_are_read_each_from_its_own_file(tmp_path):
    whole = {"encoder.norm.weight": torch.ones(6), "encoder.norm.bias": torch.zeros(6)}
    from safetensors.torch import save_file

    index = {"weight_map": {}}
    for number, (name, tensor) in enumerate(whole.items()):
        file = f"model-{number}.safetensors"
        save_file({name: tensor}, tmp_path / file)
        index["weight_map"][name] = file
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    content = read_whole(str(tmp_path))
    assert len({tensor.place.file for tensor in content.tensors.values()}) == 2
    facts = inspect_checkpoint(str(tmp_path)).facts
    assert facts["weights.untrained"].value is True
    assert facts["output.tied"].value is None


# --- the documentation


def test_every_fact_is_documented_and_every_documented_fact_exists():
    """Ids are written as strings where facts are made; docs/checkpoints.md lists them in tables."""
    root = Path(__file__).parents[3]
    told = (root / "docs" / "checkpoints.md").read_text().partition("## The X-ray")[2]
    rows = [line.split("|")[1] for line in told.splitlines() if line.startswith("|")]
    documented = set(re.findall(r"`([^`]+)`", " ".join(rows)))
    places = "decoder|encoder|weights|features|output|embedding|vocabulary|model"
    written = re.compile(rf'"((?:{places})\.[a-z][\w-]*|conditioning|autoregressive)"')
    sources = list((root / "capfix_cli" / "checkpoints").rglob("*.py"))
    assert len(sources) > 20
    ids = {name for path in sources for name in written.findall(path.read_text())}
    ids -= {"model.onnx", "model.safetensors"}  # names of files
    assert len(ids) >= 24
    assert ids == documented


def test_no_fact_escapes_the_documentation(tmp_path):
    told = (Path(__file__).parents[3] / "docs" / "checkpoints.md").read_text()
    save(fresh().state_dict(), tmp_path / "m.pt")
    folder = hugging.save_whisper(tmp_path / "w")
    given = set()
    for path in (tmp_path / "m.pt", folder):
        given |= inspect_checkpoint(str(path)).facts.keys()
    assert len(given) >= 16
    assert not [name for name in given if f"`{name}`" not in told]
