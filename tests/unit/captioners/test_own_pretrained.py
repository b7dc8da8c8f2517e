"""Borrowed encoders: published layouts load, front ends are the published ones, frozen stays so."""

from __future__ import annotations

import dataclasses
import json
import re

import numpy as np
import pytest
import torch
from conftest import TINY
from torch.nn import functional as F

from capfix_cli.captioners.contract.contract_check import check_contract
from capfix_cli.captioners.loading import load
from capfix_cli.captioners.own.own_captioner import SPECIAL, OwnCaptioner
from capfix_cli.captioners.own.own_checkpoint import save
from capfix_cli.captioners.own.own_config import AstConfig, with_pretrained
from capfix_cli.core.errors import CapfixError

WORDS = [*SPECIAL, "a", "dog", "barks", "rain", "falls"]
KEPT = dataclasses.replace(
    TINY,
    encoder=dataclasses.replace(TINY.encoder, pooling="frequency"),
    conditioning="attention",
)

# --- PANNs: the formulas of Kong et al. and of librosa, written out ------------------------------


def slaney_filters(rate=32_000, n_fft=1024, bands=64, low=50.0, high=14_000.0):
    """[bins, bands] triangles of equal area on Slaney's scale: logarithmic above 1 kHz."""

    def mel(hz):
        hz = np.asarray(hz, dtype=np.float64)
        above = 15 + 27 * np.log(np.maximum(hz, 1000) / 1000) / np.log(6.4)
        return np.where(hz < 1000, hz * 3 / 200, above)

    def hertz(mel):
        return np.where(mel < 15, mel * 200 / 3, 1000 * 6.4 ** ((mel - 15) / 27))

    edges = hertz(np.linspace(mel(low), mel(high), bands + 2))
    bins = np.linspace(0, rate / 2, n_fft // 2 + 1)
    left, middle, right = edges[:-2], edges[1:-1], edges[2:]
    rise = (bins[:, None] - left) / (middle - left)
    fall = (right - bins[:, None]) / (right - middle)
    return np.maximum(0, np.minimum(rise, fall)) * 2 / (right - left)


def hann(n):
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n) / n)


def panns_front_end(samples):
    """[samples] -> [frames, 64] decibels, one frame after another."""
    padded = np.pad(samples.astype(np.float64), 512, mode="reflect")
    starts = range(0, len(padded) - 1023, 320)
    power = np.stack([np.abs(np.fft.rfft(padded[s : s + 1024] * hann(1024))) ** 2 for s in starts])
    return 10 * np.log10(np.maximum(power @ slaney_filters(), 1e-10))


def cnn14_weights(channels=2, seed=0):
    """The tensors of a published CNN14, smaller."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(*shape, generator=generator) * 0.3

    def norm(name, size):
        return {
            f"{name}.weight": 1 + draw(size),
            f"{name}.bias": draw(size),
            f"{name}.running_mean": draw(size),
            f"{name}.running_var": 0.5 + draw(size).abs(),
            f"{name}.num_batches_tracked": torch.tensor(600_000),
        }

    turn = np.exp(-2j * np.pi * np.outer(np.arange(513), np.arange(1024)) / 1024) * hann(1024)
    found = {
        "spectrogram_extractor.stft.conv_real.weight": torch.tensor(turn.real).float()[:, None],
        "spectrogram_extractor.stft.conv_imag.weight": torch.tensor(turn.imag).float()[:, None],
        "logmel_extractor.melW": torch.tensor(slaney_filters()).float(),
        **norm("bn0", 64),
    }
    found["bn0.running_mean"] -= 40
    found["bn0.running_var"] *= 300
    size = 1
    for block in range(1, 7):
        wide = channels * 2 ** (block - 1)
        for number, c_in in ((1, size), (2, wide)):
            found[f"conv_block{block}.conv{number}.weight"] = draw(wide, c_in, 3, 3)
            found |= norm(f"conv_block{block}.bn{number}", wide)
        size = wide
    for name, rows in (("fc1", size), ("fc_audioset", 527)):
        found |= {f"{name}.weight": draw(rows, size), f"{name}.bias": draw(rows)}
    return found


def cnn14_frames(weights, mels):
    """[T, 64] -> [T // 32, channels]: the published forward pass up to its frames."""

    def norm(x, name):
        parts = (weights[f"{name}.{p}"] for p in ("running_mean", "running_var", "weight", "bias"))
        return F.batch_norm(x, *parts)

    x = norm(mels.T[None, :, :, None], "bn0").permute(0, 3, 2, 1)
    for block in range(1, 7):
        for number in (1, 2):
            name = f"conv_block{block}"
            x = F.conv2d(x, weights[f"{name}.conv{number}.weight"], padding=1)
            x = F.relu(norm(x, f"{name}.bn{number}"))
        if block < 6:
            x = F.avg_pool2d(x, 2)
    return x.mean(dim=3)[0].T


@pytest.fixture(scope="module")
def panns_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("panns") / "Cnn14.pth"
    # As the published training wrote it: the sampler's state beside the model, in numpy.
    sampler = {"indexes_per_class": [np.arange(3)], "pointers_of_classes": [np.int64(2)]}
    torch.save({"iteration": 600_000, "model": cnn14_weights(), "sampler": sampler}, path)
    return path


def panns(path, **encoder):
    config = with_pretrained(KEPT, "panns", str(path), frozen=encoder.pop("frozen", True))
    encoder = dataclasses.replace(config.encoder, **encoder)
    captioner = OwnCaptioner(dataclasses.replace(config, encoder=encoder), WORDS)
    captioner.module.eval()
    return captioner


def test_panns_hear_through_their_own_front_end(panns_file):
    captioner = panns(panns_file)
    assert captioner.sample_rate == 32_000
    samples = torch.randn(32_000) * torch.linspace(0.001, 0.5, 32_000)
    frames, lengths = captioner.features(samples[None], torch.tensor([32_000]))
    assert lengths.tolist() == [101]
    expected = panns_front_end(samples.numpy())
    assert expected.shape == (101, 64)
    np.testing.assert_allclose(frames[0].numpy(), expected, atol=1e-2)
    noise = torch.randn(2, 32_000)  # beyond its length a clip is silent, whatever stands there
    frames, lengths = captioner.features(noise, torch.tensor([32_000, 3_200]))
    assert lengths.tolist() == [101, 11]
    assert frames[1, 14:].unique().tolist() == [-100.0]
    silence, _ = captioner.features(torch.zeros(1, 3200), torch.tensor([3200]))
    assert silence.unique().tolist() == [-100.0]


def test_panns_give_the_frames_of_the_published_model(panns_file):
    captioner = panns(panns_file)
    assert captioner.config.encoder.channels == 2
    assert captioner.config.encoder.weights is None
    samples = torch.randn(1, 100_000) * 0.1
    frames, lengths = captioner.features(samples, torch.tensor([100_000]))
    found, count = captioner.module.encoder.backbone(frames, lengths)
    expected = cnn14_frames(cnn14_weights(), frames[0])
    assert count.tolist() == [expected.shape[0]] == [313 // 32]
    assert expected.std() > 0.01
    torch.testing.assert_close(found[0], expected, atol=1e-4, rtol=1e-4)


# --- AST -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ast_folder(tmp_path_factory):
    """A small AST as transformers publishes it; heads of 64, as every published one has."""
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.ASTConfig(
        **{"hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2},
        **{"intermediate_size": 96, "max_length": 128, "num_labels": 5},
        layer_norm_eps=1e-6,
    )
    model = transformers.ASTForAudioClassification(config)
    for parameter in model.parameters():
        parameter.data += torch.randn_like(parameter) * 0.05
    folder = tmp_path_factory.mktemp("ast") / "ast"
    model.save_pretrained(folder)
    return folder


def theirs(folder):
    from transformers import ASTForAudioClassification

    return ASTForAudioClassification.from_pretrained(folder).eval().audio_spectrogram_transformer


def original_layout(folder):
    """The same weights under the names of the authors' repository, as they saved them."""
    state = theirs(folder).state_dict()
    found = {"mlp_head.1.weight": torch.zeros(527, 128), "v.head.weight": torch.zeros(1000, 128)}
    plain = {
        "embeddings.cls_token": "v.cls_token",
        "embeddings.distillation_token": "v.dist_token",
        "embeddings.position_embeddings": "v.pos_embed",
        "embeddings.patch_embeddings.projection.weight": "v.patch_embed.proj.weight",
        "embeddings.patch_embeddings.projection.bias": "v.patch_embed.proj.bias",
        "layernorm.weight": "v.norm.weight",
        "layernorm.bias": "v.norm.bias",
    }
    found |= {new: state[old] for old, new in plain.items()}
    for block in range(2):
        for kind in ("weight", "bias"):
            old, new = f"layers.{block}", f"v.blocks.{block}"
            parts = [state[f"{old}.attention.{p}_proj.{kind}"] for p in "qkv"]
            found[f"{new}.attn.qkv.{kind}"] = torch.cat(parts)
            for theirs_, authors in (
                *(("attention.o_proj", "attn.proj"), ("mlp.fc1", "mlp.fc1")),
                *(("mlp.fc2", "mlp.fc2"), ("layernorm_before", "norm1")),
                ("layernorm_after", "norm2"),
            ):
                found[f"{new}.{authors}.{kind}"] = state[f"{old}.{theirs_}.{kind}"]
    return {f"module.{name}": tensor for name, tensor in found.items()}


def ast(path, frozen=True, sizes=AstConfig(max_length=128)):  # noqa: B008
    config = with_pretrained(KEPT, "ast", str(path), frozen=frozen)
    encoder = dataclasses.replace(config.encoder, ast=sizes)
    captioner = OwnCaptioner(dataclasses.replace(config, encoder=encoder), WORDS)
    captioner.module.eval()
    return captioner


def test_the_ast_hears_through_its_own_front_end(ast_folder):
    from transformers import ASTFeatureExtractor

    captioner = ast(ast_folder)
    samples = torch.randn(16_000) * torch.linspace(0.001, 0.5, 16_000)
    frames, lengths = captioner.features(samples[None], torch.tensor([16_000]))
    assert lengths.tolist() == [98]
    extractor = ASTFeatureExtractor(max_length=128)
    expected = extractor(samples.numpy(), sampling_rate=16_000, return_tensors="pt").input_values
    torch.testing.assert_close(frames[0], expected[0, :98], atol=1e-5, rtol=0)
    # And by Kaldi's formula: frames of 25 ms less their mean, pre-emphasis, Hann, 512 points.
    frame = samples[1600:2000].double().numpy()  # the frame at 100 ms
    frame = frame - frame.mean()
    frame = frame - 0.97 * np.concatenate([frame[:1], frame[:-1]])
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 399)
    power = np.abs(np.fft.rfft(frame * window, 512)) ** 2
    mel = 1127 * np.log(1 + np.arange(257) * 16_000 / 512 / 700)
    edges = np.linspace(1127 * np.log(1 + 20 / 700), 1127 * np.log(1 + 8000 / 700), 130)
    rise = (mel[:, None] - edges[:-2]) / (edges[1:-1] - edges[:-2])
    fall = (edges[2:] - mel[:, None]) / (edges[2:] - edges[1:-1])
    filters = np.maximum(0, np.minimum(rise, fall))[:256]
    energy = np.maximum(power[:256] @ filters, np.finfo(np.float32).eps)
    byhand = (np.log(energy) + 4.2677393) / (2 * 4.5689974)
    np.testing.assert_allclose(frames[0, 10].numpy(), byhand, atol=2e-3)


@pytest.mark.parametrize("layout", ["transformers", "authors"])
def test_the_ast_gives_what_the_published_model_gives(layout, ast_folder, tmp_path):
    path = ast_folder
    if layout == "authors":
        path = tmp_path / "audioset_10_10_0.4593.pth"
        torch.save(original_layout(ast_folder), path)
    captioner = ast(path)
    sizes = captioner.config.encoder.ast
    assert dataclasses.astuple(sizes) == (128, 2, 2, 96, 128, 10, 10, 1e-6)
    features = torch.randn(2, 128, 128)
    with torch.inference_mode():
        expected = theirs(ast_folder)(features).last_hidden_state
        backbone = captioner.module.encoder.backbone
        torch.testing.assert_close(backbone.sequence(features), expected, atol=1e-4, rtol=1e-4)
        frames, count = backbone(features, torch.tensor([128, 128]))
    assert count.tolist() == [12, 12]  # 0.1 s each
    columns = expected[:, 2:].view(2, 12, 12, 128)  # mel bands, then time
    torch.testing.assert_close(frames, columns.mean(dim=1), atol=1e-4, rtol=1e-4)


def test_transformers_names_of_today_are_read_too(ast_folder, tmp_path):
    from safetensors.torch import save_file

    state = theirs(ast_folder).state_dict()
    assert "layers.0.attention.q_proj.weight" in state
    folder = tmp_path / "new"
    folder.mkdir()
    save_file(
        {f"audio_spectrogram_transformer.{name}": t for name, t in state.items()},
        folder / "model.safetensors",
    )
    settings = json.loads((ast_folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**settings, "layer_norm_eps": 1e-3}))
    assert ast(folder).config.encoder.ast.epsilon == 1e-3
    one, two = (ast(path).module.encoder.state_dict() for path in (ast_folder, folder))
    backbone = [name for name in one if name.startswith("backbone")]
    assert len(backbone) > 30
    assert all(torch.equal(one[name], two[name]) for name in backbone)


def test_clips_longer_than_an_ast_was_trained_on_are_heard_to_their_end(ast_folder):
    captioner = ast(ast_folder)
    backbone = captioner.module.encoder.backbone
    long = torch.randn(1, 300, 128)
    with torch.inference_mode():
        frames, count = backbone(long, torch.tensor([300]))
        assert count.tolist() == [12 + 12 + 5]  # two whole stretches and 44 frames
        first, _ = backbone(long[:, :128], torch.tensor([128]))
        torch.testing.assert_close(frames[:, :12], first, atol=1e-5, rtol=1e-5)
        changed = long.clone()
        changed[:, 290:] += 1
        moved = (backbone(changed, torch.tensor([300]))[0] - frames).abs().amax(dim=(0, 2))
    assert not moved[:24].any()
    assert moved[24:29].all()


# --- both ----------------------------------------------------------------------------------------


@pytest.fixture(params=["panns", "ast"])
def borrowed(request):
    if request.param == "panns":
        path = request.getfixturevalue("panns_file")
        return lambda **options: panns(path, **options)
    path = request.getfixturevalue("ast_folder")
    return lambda **options: ast(path, **options)


def test_the_contract_is_kept(borrowed):
    clauses = check_contract(borrowed())
    assert len(clauses) >= 8
    assert [clause for clause in clauses if not clause.kept] == []


def test_a_clip_is_heard_alike_alone_and_beside_longer_ones(borrowed):
    captioner = borrowed()
    seconds = torch.tensor([2.0, 0.7, 0.03])  # the last is less than one frame of CNN14's
    lengths = (seconds * captioner.sample_rate).long()
    waveforms = torch.randn(3, int(lengths[0])) * torch.tensor([[0.3], [0.01], [0.1]])
    for row, length in enumerate(lengths.tolist()):
        waveforms[row, length:] = 0
    with torch.inference_mode():
        frames, mask = captioner.module.encoder(*captioner.features(waveforms, lengths))
        for row, length in enumerate(lengths.tolist()):
            clip, own = waveforms[row : row + 1, :length], lengths[row : row + 1]
            heard, inside = captioner.module.encoder(*captioner.features(clip, own))
            assert inside.sum() == mask[row].sum() >= 1
            torch.testing.assert_close(heard[inside], frames[row, mask[row]], atol=1e-4, rtol=1e-4)
    assert not torch.allclose(frames[0, 0], frames[1, 0], atol=1e-2)


@pytest.mark.parametrize("frozen", [True, False])
def test_frozen_weights_stay_and_others_learn(borrowed, frozen):
    captioner = borrowed(frozen=frozen)
    captioner.module.train()
    before = {name: tensor.clone() for name, tensor in captioner.module.state_dict().items()}
    optimizer = torch.optim.AdamW(captioner.module.parameters(), 1e-2, weight_decay=0.1)
    sound = torch.randn(2, 2 * captioner.sample_rate) * 0.1
    lengths = torch.full((2,), sound.shape[1])
    for _ in range(2):
        optimizer.zero_grad()
        captioner.loss(sound, lengths, ["a dog barks", "rain falls"]).backward()
        optimizer.step()
    after = captioner.module.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    backbone = {name for name in before if name.startswith("encoder.backbone")}
    assert len(backbone) > 20
    assert "encoder.out.weight" in changed
    assert "decoder.out.weight" in changed
    if frozen:
        assert changed & backbone == set()
    else:
        assert len(changed & backbone) > 0.8 * len(backbone)


def test_a_saved_captioner_needs_no_weight_file(borrowed, tmp_path):
    captioner = borrowed()
    path = save(captioner, tmp_path / "model.pt")
    stored = torch.load(path, weights_only=True)
    assert stored["config"]["encoder"]["weights"] is None
    loaded = load(str(path)).captioner
    assert loaded.config == captioner.config
    assert loaded.module.encoder.frozen
    assert not any(p.requires_grad for p in loaded.module.encoder.backbone.parameters())
    sound = torch.randn(1, captioner.sample_rate) * 0.1
    with torch.inference_mode():
        one, two = (
            c.logits(torch.tensor([[1, 4]]), c.encode(sound, torch.tensor([sound.shape[1]])))
            for c in (captioner, loaded)
        )
    torch.testing.assert_close(one, two)


def told(kind, path):
    with pytest.raises(CapfixError) as caught:
        OwnCaptioner(with_pretrained(KEPT, kind, path), WORDS)
    assert caught.value.hint
    assert "\n" not in caught.value.message
    return caught.value.message


def test_wrong_files_are_told_in_one_line(panns_file, ast_folder, tmp_path):
    weights = cnn14_weights()
    files = {
        "front": {**weights, "logmel_extractor.melW": torch.zeros(257, 64)},
        "filters": {**weights, "logmel_extractor.melW": weights["logmel_extractor.melW"] * 1.1},
        "less": {n: t for n, t in weights.items() if "conv_block4.bn1" not in n},
        "cnn10": {n: t for n, t in weights.items() if not re.search("block[56]", n)},
        "more": {**weights, "att_block.att.weight": torch.zeros(2, 2)},
    }
    for name, tensors in files.items():
        torch.save({"model": tensors}, tmp_path / f"{name}.pth")
    for name, words in (
        ("front", r"melW \[257, 64\] is of another front end"),
        ("filters", "another front end"),
        ("less", r"conv_block4\.bn1\.weight is missing.* and 1 more"),
        ("cnn10", "no conv_block1 to conv_block6"),
        ("more", r"att_block\.att\.weight is not part of it"),
        ("absent", "absent.pth"),
    ):
        assert re.search(words, told("panns", str(tmp_path / f"{name}.pth"))), name
    assert "is not PANNs' CNN14" in told("panns", str(ast_folder))
    assert "is not the AST" in told("ast", str(panns_file))
    assert "weights names no file" in told("panns", None)
    broken = tmp_path / "ast"
    broken.mkdir()
    (broken / "model.safetensors").write_bytes((ast_folder / "model.safetensors").read_bytes())
    (broken / "config.json").write_text(json.dumps({"hidden_size": 128}))
    assert "no num_attention_heads" in told("ast", str(broken))


def test_other_strides_are_read_from_the_places(ast_folder, tmp_path):
    weights = original_layout(ast_folder)
    weights["module.v.pos_embed"] = torch.randn(1, 8 * 8 + 2, 128)  # strides of 16
    torch.save(weights, tmp_path / "audioset_16_16_0.4422.pth")
    sizes = ast(tmp_path / "audioset_16_16_0.4422.pth").config.encoder.ast
    assert (sizes.frequency_stride, sizes.time_stride) == (16, 16)
