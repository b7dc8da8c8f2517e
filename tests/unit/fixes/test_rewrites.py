"""Code written for a user's own model: it runs, fits, does what its fix says, and is recognised."""

from __future__ import annotations

import ast
import dataclasses
import json
import warnings
from typing import Any

import pytest
import torch
from torch import nn

from capfix_cli.checkpoints.inspection import inspect_checkpoint
from capfix_cli.core.errors import CapfixError
from capfix_cli.fixes.rewrites.rewrite import WRITERS, rewrite
from capfix_cli.fixes.rewrites.rewrite_confirmation import was_done
from capfix_cli.schemas.inspection_record import Fact

VOCABULARY, EMBEDDING, AUDIO, HIDDEN = 90, 24, 40, 32


class ConvolutionEncoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.bn0 = nn.BatchNorm2d(64)
        self.conv1, self.bn1 = nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.conv2, self.bn2 = nn.Conv2d(8, 16, (5, 5), padding=2), nn.BatchNorm2d(16)
        self.fc = nn.Linear(16, AUDIO)


class FrameEncoder(nn.Module):
    """Convolutions over frames only."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv1d(64, 12, 4), nn.Conv1d(12, AUDIO, 3)


class RecurrentDecoder(nn.Module):
    def __init__(self, kind: str = "GRU", layers: int = 1, tied: bool = False) -> None:
        super().__init__()
        self.word_embedding = nn.Embedding(VOCABULARY, HIDDEN if tied else EMBEDDING)
        self.init_hidden = nn.Linear(AUDIO, HIDDEN)
        width = self.word_embedding.embedding_dim
        if kind.endswith("Cell"):
            self.memory = getattr(nn, kind)(width, HIDDEN)
        else:
            self.memory = getattr(nn, kind)(width, HIDDEN, layers, batch_first=True)
        if not tied:
            self.words_out = nn.Linear(HIDDEN, VOCABULARY)


class Model(nn.Module):
    def __init__(self, encoder: nn.Module, decoder: nn.Module) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, decoder


def inspected(tmp_path, model, name="model.pt"):
    path = tmp_path / name
    torch.save({"model": model.state_dict(), "epoch": 3}, path)
    return inspect_checkpoint(str(path))


def usual(tmp_path, **options):
    torch.manual_seed(0)
    model = Model(ConvolutionEncoder(), RecurrentDecoder(**options))
    return model, inspected(tmp_path, model)


def run(code: str) -> dict[str, Any]:
    """Execute a rewrite in a fresh namespace, as after a paste."""
    torch.manual_seed(0)
    namespace: dict[str, Any] = {"__name__": "pasted"}
    exec(compile(code, "<rewrite>", "exec"), namespace)
    return namespace


KINDS = [
    {"kind": "GRU"},
    {"kind": "GRU", "layers": 2},
    {"kind": "LSTM", "layers": 2},
    {"kind": "RNN"},
    {"kind": "GRUCell"},
    {"kind": "LSTMCell"},
    {"kind": "GRU", "tied": True},
]


@pytest.mark.parametrize("options", KINDS, ids=str)
def test_every_step_grows_the_user_s_own_layer_by_the_audio(options, tmp_path):
    _, inspection = usual(tmp_path, **options)
    written = rewrite("2.2", inspection)
    assert written.to_fill_in == ()
    width = HIDDEN if options.get("tied") else EMBEDDING
    space = run(written.code)
    decoder = space["Decoder"]()
    assert type(decoder.memory).__name__ == options["kind"]
    assert decoder.memory.input_size == width + AUDIO
    assert decoder.memory.hidden_size == HIDDEN
    if "Cell" not in options["kind"]:
        assert decoder.memory.num_layers == options.get("layers", 1)
    words = torch.randint(VOCABULARY, (2, 7))
    audio = torch.randn(2, AUDIO, requires_grad=True)
    scores = decoder(words, audio)
    assert scores.shape == (2, 7, VOCABULARY)
    assert decoder(words, torch.randn(2, 5, AUDIO)).shape == scores.shape  # frames, too
    for name, parameter in decoder.memory.named_parameters():
        if "weight_hh" in name:  # no way through the words before
            nn.init.zeros_(parameter)
    (gradient,) = torch.autograd.grad(decoder(words, audio)[:, -1].square().sum(), audio)
    assert gradient.abs().amin() > 0


@pytest.mark.parametrize("fix_id", ["2.2", "2.3"])
@pytest.mark.parametrize("options", KINDS[:3], ids=str)
def test_what_was_learnt_is_kept_and_the_audio_starts_without_a_say(fix_id, options, tmp_path):
    model, inspection = usual(tmp_path, **options)
    old = model.decoder
    space = run(rewrite(fix_id, inspection).code)
    decoder = space["Decoder"]()
    new = space["keep_learnt"](decoder, old.state_dict())
    assert all(name.startswith("attention.") for name in new), new
    assert ("attention.score.weight" in new) == (fix_id == "2.3")
    words = torch.randint(VOCABULARY, (2, 7))
    outputs, _ = old.memory(old.word_embedding(words))
    expected = old.words_out(outputs)
    torch.testing.assert_close(decoder(words, torch.randn(2, 4, AUDIO)), expected)


@pytest.mark.parametrize("options", KINDS, ids=str)
def test_attention_weighs_frames_by_the_state_and_skips_padding(options, tmp_path):
    _, inspection = usual(tmp_path, **options)
    written = rewrite("2.3", inspection)
    assert written.to_fill_in == ()
    decoder = run(written.code)["Decoder"]()
    assert decoder.attention.of_frame.in_features == AUDIO
    assert decoder.attention.of_state.in_features == HIDDEN
    words, frames = torch.randint(VOCABULARY, (2, 7)), torch.randn(2, 9, AUDIO)
    real = torch.ones(2, 9, dtype=torch.bool)
    real[1, 5:] = False
    scores = decoder(words, frames, real)
    assert scores.shape == (2, 7, VOCABULARY)
    beyond = frames.clone()
    beyond[1, 5:] = 9.0
    torch.testing.assert_close(decoder(words, beyond, real), scores)
    assert not torch.allclose(decoder(words, -frames, real)[:, -1], scores[:, -1], atol=1e-4)
    heard = [decoder.attention(frames, 5 * torch.randn(2, HIDDEN), real) for _ in range(2)]
    assert not torch.allclose(*heard, atol=1e-4)


@pytest.mark.parametrize("axis", [2, 3])
def test_the_encoder_keeps_every_frame_in_its_place(axis, tmp_path):
    _, inspection = usual(tmp_path)
    code = rewrite("2.1", inspection).code
    assert "CHANNELS = [1, 8, 16]" in code
    assert "KERNELS = [3, 5]" in code
    space = run(code.replace("MELS_AXIS = 2", f"MELS_AXIS = {axis}"))
    encoder = space["Encoder"]().eval()
    mels = torch.randn(2, 1, 64, 50)
    frames = encoder(mels if axis == 2 else mels.transpose(2, 3))
    assert frames.shape == (2, 50, AUDIO)
    changed = mels.clone()
    changed[..., 40:] += 3
    moved = (encoder(changed if axis == 2 else changed.transpose(2, 3)) - frames).abs()
    moved = moved.amax(dim=(0, 2)) > 1e-6
    assert not moved[:36].any()
    assert moved[40:].all()


def test_convolutions_over_frames_keep_them_too(tmp_path):
    model = Model(FrameEncoder(), RecurrentDecoder())
    encoder = run(rewrite("2.1", inspected(tmp_path, model)).code)["Encoder"]()
    assert encoder.blocks[0].conv.kernel_size == (5,)  # an even one cannot keep their number
    assert encoder(torch.randn(2, 64, 33)).shape == (2, 33, AUDIO)


def test_a_deeper_encoder_has_three_convolutions_and_a_way_around_each(tmp_path):
    _, inspection = usual(tmp_path)
    encoder = run(rewrite("2.4", inspection).code)["Encoder"]().eval()
    assert [block.conv.out_channels for block in encoder.blocks] == [8, 16, 16]
    for block in encoder.blocks:  # the convolutions add nothing
        nn.init.zeros_(block.norm.weight)
        nn.init.zeros_(block.norm.bias)
    one, two = (encoder(torch.randn(2, 1, 64, 20)) for _ in range(2))
    assert one.shape == (2, 20, AUDIO)
    assert not torch.allclose(one, two, atol=1e-4)


def test_a_transformer_of_the_model_s_size(tmp_path):
    _, inspection = usual(tmp_path)
    written = rewrite("2.5", inspection)
    assert written.to_fill_in == ()  # the norm over mel bands tells their number
    model = run(written.code)["Captioner"]().eval()
    assert model.stem.in_channels == 64
    assert model.head.out_features == VOCABULARY
    features, lengths = torch.randn(2, 40, 64), torch.tensor([40, 24])
    words = torch.randint(VOCABULARY, (2, 6))
    scores = model(features, lengths, words)
    assert scores.shape == (2, 6, VOCABULARY)
    alone = model(features[1:, :24], lengths[1:], words[1:])
    torch.testing.assert_close(alone[0], scores[1], atol=1e-4, rtol=1e-4)
    later = words.clone()
    later[:, 4:] = (later[:, 4:] + 1) % VOCABULARY
    torch.testing.assert_close(model(features, lengths, later)[:, :4], scores[:, :4])
    assert not torch.allclose(model(features.flip(1), lengths, words), scores, atol=1e-4)


def test_dropout_is_put_around_the_user_s_own_modules(tmp_path):
    model, inspection = usual(tmp_path)
    names = list(model.state_dict())
    space = run(rewrite("5.1", inspection).code)
    assert space["add_dropout"](model) is model
    assert list(model.state_dict()) == names
    x = torch.randn(1, 1, 64, 200)
    out = model.encoder.conv1(x)
    counted = torch.stack([model.encoder.conv1(x) for _ in range(60)])
    assert float(counted.abs().amax(dim=(3, 4)).eq(0).float().mean()) == pytest.approx(0.2, abs=0.1)
    states = torch.ones(1, HIDDEN)
    assert not torch.equal(model.decoder.words_out(states), model.decoder.words_out(states))
    model.eval()
    assert torch.equal(model.encoder.conv1(x), model.encoder.conv1(x))
    assert out.shape == (1, 8, 64, 200)


def test_a_width_that_the_file_does_not_tell_is_asked_for(tmp_path):
    decoder = RecurrentDecoder()
    del decoder.init_hidden
    written = rewrite("2.2", inspected(tmp_path, decoder))
    assert written.to_fill_in == ("AUDIO",)
    assert "AUDIO = None  # fill in the last size of your encoder's output" in written.code
    compile(written.code, "<rewrite>", "exec")
    with pytest.raises(AssertionError, match="fill in AUDIO above"):
        run(written.code)
    space = run(written.code.replace("AUDIO = None", "AUDIO = 12"))
    assert space["Decoder"]()(torch.zeros(2, 3).long(), torch.randn(2, 12)).shape == (2, 3, 90)


def test_the_encoder_s_last_layer_tells_the_width_where_no_first_state_does(tmp_path):
    model = Model(ConvolutionEncoder(), RecurrentDecoder())
    del model.decoder.init_hidden
    code = rewrite("2.2", inspected(tmp_path, model)).code
    assert f"AUDIO = {AUDIO}  # encoder.fc.weight [{AUDIO}, 16] is the encoder's last layer" in code


@pytest.mark.parametrize("fix_id", list(WRITERS))
def test_names_from_a_file_cannot_become_code(fix_id, tmp_path):
    evil = 'x"""\nimport os; os.abort()\n"""'
    _, inspection = usual(tmp_path)
    renamed = []
    for tensor in inspection.tensors:
        part, _, rest = tensor.name.partition(".")
        renamed.append(dataclasses.replace(tensor, name=f"{part}.{evil}.$place.{rest}"))
    inspection = dataclasses.replace(
        inspection, path="evil.pt\u2028os.abort()\nos.abort()", tensors=tuple(renamed)
    )
    code = rewrite(fix_id, inspection).code
    space = run(code)  # it would not come back
    assert "os" not in space
    nodes = list(ast.walk(ast.parse(code)))
    assert {n.names[0].name for n in nodes if isinstance(n, ast.Import)} == {"torch"}
    assert not [n for n in nodes if isinstance(n, ast.Attribute) and n.attr == "abort"]


@pytest.mark.parametrize(
    ("fix_id", "message"),
    [("3.1", "no code to write"), ("2.6", "no code to write"), ("9.9", "no code to write")],
)
def test_other_fixes_have_no_code(fix_id, message, tmp_path):
    _, inspection = usual(tmp_path)
    with pytest.raises(CapfixError, match=message) as caught:
        rewrite(fix_id, inspection)
    assert caught.value.hint


def test_models_without_a_place_for_a_fix_are_told_why(tmp_path):
    attending = nn.ModuleDict(
        {
            "encoder": nn.TransformerEncoderLayer(16, 2, 32),
            "embedding": nn.Embedding(VOCABULARY, 16),
            "decoder": nn.TransformerDecoder(nn.TransformerDecoderLayer(16, 2, 32), 2),
        }
    )
    inspection = inspected(tmp_path, attending)
    for fix_id, words in (
        ("2.2", "attends to the encoder at every word already"),
        ("2.3", "attends to the encoder at every word already"),
        ("2.5", "Transformer already"),
        ("2.1", "no convolution|encoder is a Transformer"),
        ("2.4", "no convolution|encoder is a Transformer"),
    ):
        with pytest.raises(CapfixError, match=words) as caught:
            rewrite(fix_id, inspection)
        assert f"capfix fixes {fix_id}" in caught.value.hint
    deep = nn.Sequential(*(nn.Conv2d(4, 4, 3) for _ in range(6)))
    with pytest.raises(CapfixError, match="6 convolutions"):
        rewrite("2.4", inspected(tmp_path, Model(deep, RecurrentDecoder())))
    silent = Model(ConvolutionEncoder(), nn.GRU(40, 20))
    with pytest.raises(CapfixError, match="no word embedding"):
        rewrite("2.2", inspected(tmp_path, silent))


# --- was it done? --------------------------------------------------------------------------------


def rewritten(fix_id, model, inspection):
    """Put what a rewrite defines in the place of the user's own module."""
    space = run(rewrite(fix_id, inspection).code)
    if fix_id in {"2.1", "2.4"}:
        return Model(space["Encoder"](), model.decoder)
    if fix_id in {"2.2", "2.3"}:
        return Model(model.encoder, space["Decoder"]())
    return space["Captioner"]() if fix_id == "2.5" else space["add_dropout"](model)


@pytest.mark.parametrize(
    ("fix_id", "done", "words"),
    [
        ("2.1", None, "no trace in weights"),
        ("2.2", True, "takes 64, was 24"),
        ("2.3", True, "additive-attention, was not-concatenated"),
        ("2.4", True, "encoder.conv-layers: 3, was 2"),
        ("2.5", True, "transformer, was gru"),
        ("5.1", None, "no trace in weights"),
    ],
)
def test_a_rewrite_is_recognised_in_the_next_checkpoint(fix_id, done, words, tmp_path):
    model, before = usual(tmp_path)
    after = inspected(tmp_path, rewritten(fix_id, model, before), "new.pt")
    found = was_done(fix_id, before, after)
    assert found.done is done
    assert any(words in line for line in found.evidence), found.evidence
    unchanged, why = was_done(fix_id, before, before)
    assert unchanged is (None if done is None else False)
    assert why


def test_settings_tell_what_weights_cannot(tmp_path, tiny_model):
    own = inspect_checkpoint(str(tiny_model))
    assert was_done("2.1", own, own).done is False  # its pooling is time
    assert was_done("5.1", own, own).done is True
    _, other = usual(tmp_path)
    told = dataclasses.replace(other, config={"encoder": {"pooling": "frequency"}, "dropout": 0.0})
    assert was_done("2.1", other, told).done is True
    assert was_done("5.1", other, told).done is False


def test_a_fix_whose_trace_is_open_is_said_to_be_open(tmp_path):
    _, before = usual(tmp_path)
    unknown = Fact(None, 0.0, ("cannot be told",))
    facts = {**before.facts, "conditioning": unknown, "decoder.kind": unknown}
    after = dataclasses.replace(before, facts=facts)
    for fix_id in ("2.2", "2.3", "2.5"):
        assert was_done(fix_id, before, after).done is None
    with pytest.raises(CapfixError, match="changes no network"):
        was_done("3.1", before, before)


def test_rewrites_run_without_a_warning(tmp_path):
    _, inspection = usual(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for fix_id in WRITERS:
            written = rewrite(fix_id, inspection)
            run(written.code)
            assert len(written.checks) >= 2
            assert all(check.endswith(".") for check in written.checks)
            assert max(map(len, written.code.splitlines())) <= 100
            assert written.title


def test_inspect_says_which_fixes_were_done_since_an_older_checkpoint(capfix, tmp_path):
    wide = RecurrentDecoder()
    wide.memory = nn.GRU(EMBEDDING + AUDIO, HIDDEN, batch_first=True)
    old, new = tmp_path / "old.pt", tmp_path / "new.pt"
    torch.save(RecurrentDecoder().state_dict(), old)
    torch.save(wide.state_dict(), new)
    done = capfix("inspect", new, "--against", old, "--json")
    rows = {row["fix"]: row for row in json.loads(done.out)["fixes"]}
    assert list(rows) == ["2.1", "2.2", "2.3", "2.4", "2.5", "5.1"]
    assert rows["2.2"]["done"] is True
    assert rows["5.1"]["done"] is None
    assert all(row["evidence"] for row in rows.values())
    same = json.loads(capfix("inspect", old, "--against", old, "--json").out)["fixes"]
    assert next(row for row in same if row["fix"] == "2.2")["done"] is False
    shown = capfix("inspect", new, "--against", old).out
    assert "Fixes of the network since" in shown
    assert "cannot be told" in shown
    missing = capfix("inspect", new, "--against", tmp_path / "none.pt")
    assert missing.status == 2
    assert "none.pt" in missing.err
