"""capfix's own captioners and the safe opening of checkpoints."""

from __future__ import annotations

import dataclasses
import pickle
import textwrap

import pytest
import torch
from conftest import TINY

from capfix_cli.captioners.loading import load
from capfix_cli.captioners.own.own_captioner import SPECIAL, OwnCaptioner
from capfix_cli.captioners.own.own_checkpoint import save
from capfix_cli.captioners.own.own_config import (
    BASELINE,
    PRESETS,
    PRIORITY_2,
    PRIORITY_3,
    EncoderConfig,
    from_dict,
    to_dict,
)
from capfix_cli.core.errors import CapfixError

VARIANTS = [
    (pooling, residual, conditioning, depth)
    for pooling in ("time", "frequency")
    for residual in (False, True)
    for conditioning in ("initial-state", "every-step", "attention")
    for depth in (1, 4)
]


def make(pooling="time", residual=False, conditioning="initial-state", depth=2):
    torch.manual_seed(1)
    encoder = dataclasses.replace(TINY.encoder, pooling=pooling, residual=residual, depth=depth)
    config = dataclasses.replace(TINY, encoder=encoder, conditioning=conditioning)
    captioner = OwnCaptioner(config, [*SPECIAL, *["a", "dog", "barks", "and", "rain", "falls"]])
    captioner.module.eval()
    return captioner


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_a_clip_is_heard_alike_alone_and_beside_longer_ones(variant):
    captioner = make(*variant)
    lengths = torch.tensor([16_000, 5_100, 320])
    waveforms = torch.randn(3, 16_000) * 0.1
    for row, length in enumerate(lengths.tolist()):
        waveforms[row, length:] = 0
    prefix = torch.tensor([[1, 4, 5]] * 3)
    with torch.inference_mode():
        together = captioner.logits(prefix, captioner.encode(waveforms, lengths))
        for row, length in enumerate(lengths.tolist()):
            memory = captioner.encode(waveforms[row : row + 1, :length], lengths[row : row + 1])
            alone = captioner.logits(prefix[row : row + 1], memory)
            torch.testing.assert_close(alone[0], together[row], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_steps_give_the_same_scores_as_the_whole_prefix(variant):
    captioner = make(*variant)
    memory = captioner.encode(torch.randn(2, 8_000) * 0.1, torch.tensor([8_000, 8_000]))
    tokens = torch.tensor([[1, 4, 5, 6], [1, 6, 7, 4]])
    with torch.inference_mode():
        state = captioner.start(memory)
        for position in range(4):
            stepped, state = captioner.step(tokens[:, position], state, memory)
            whole = captioner.logits(tokens[:, : position + 1], memory)
            torch.testing.assert_close(stepped, whole, atol=1e-5, rtol=1e-5)


def test_the_document_s_repairs_are_configs():
    assert (BASELINE.encoder.pooling, BASELINE.conditioning) == ("time", "initial-state")
    assert (PRIORITY_2.encoder.pooling, PRIORITY_2.conditioning) == ("frequency", "every-step")
    assert (PRIORITY_3.encoder.pooling, PRIORITY_3.conditioning) == ("frequency", "attention")
    for config in PRESETS.values():
        assert from_dict(to_dict(config)) == config


def test_a_captioner_learns_two_sounds():
    captioner = make("frequency", False, "attention")
    captioner.module.train()
    time = torch.arange(16_000) / 16_000
    sounds = torch.stack([torch.sin(2 * torch.pi * hz * time) * 0.3 for hz in (300, 3000)])
    lengths = torch.tensor([16_000, 16_000])
    optimizer = torch.optim.Adam(captioner.module.parameters(), 1e-2)
    texts = ["a dog barks", "rain falls"]
    first = float(captioner.loss(sounds, lengths, texts).detach())
    for _ in range(60):
        optimizer.zero_grad()
        loss = captioner.loss(sounds, lengths, texts)
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < first / 3


def test_all_errors_of_a_config_are_told_at_once():
    wrong = to_dict(BASELINE)
    wrong["encoder"] |= {"pooling": "both", "depth": 2.5, "wings": 2}
    wrong["dropout"] = "much"
    with pytest.raises(CapfixError) as caught:
        from_dict(wrong)
    for word in ("encoder.pooling", "encoder.depth", "encoder.wings", "dropout", "4 error"):
        assert word in caught.value.message
    with pytest.raises(CapfixError, match=r"encoder\.depth is 9"):
        from_dict({"encoder": dataclasses.asdict(EncoderConfig(depth=9))})


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_saved_captioners_come_back_whole(suffix, tmp_path):
    captioner = make("frequency", True, "attention")
    path = save(captioner, tmp_path / f"model{suffix}", training={"weight_decay": 0.01})
    loaded = load(str(path))
    assert loaded.captioner.vocabulary == captioner.vocabulary
    assert loaded.summary.format == ("torch" if suffix == ".pt" else "safetensors")
    assert loaded.summary.facts["training.weight_decay"] == 0.01
    assert loaded.summary.facts["conditioning"] == "attention"
    assert len(loaded.summary.sha256) == 64
    theirs = loaded.captioner.module.state_dict()
    for name, tensor in captioner.module.state_dict().items():
        assert torch.equal(tensor, theirs[name]), name
    with pytest.raises(CapfixError, match="there already"):
        save(captioner, path)


class Bomb:
    def __reduce__(self):
        return (open, ("exploded", "w"))


@pytest.mark.parametrize("writer", [torch.save, lambda x, p: p.write_bytes(pickle.dumps(x))])
def test_a_pickle_that_would_run_code_is_refused_without_running(writer, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "model.pt"
    writer({"model": Bomb()}, path)
    with pytest.raises(CapfixError, match=r"could run code") as caught:
        load(str(path))
    assert "io.open" in caught.value.message
    assert "capfix inspect" in caught.value.hint
    assert not (tmp_path / "exploded").exists()
    pickle.loads(pickle.dumps(Bomb())).close()  # the test can fail: this one does explode
    assert (tmp_path / "exploded").exists()


def test_what_is_no_checkpoint_is_called_that(tmp_path, tiny_model):
    (tmp_path / "text.pt").write_text("hello, weights\n")
    (tmp_path / "empty.pt").write_bytes(b"")
    (tmp_path / "half.pt").write_bytes(tiny_model.read_bytes()[:3000])
    torch.save({"fc.weight": torch.zeros(2, 2)}, tmp_path / "weights.pt")
    for name, message in (
        ("missing.pt", "no model"),
        ("text.pt", "text file that begins with 'hello, weights'"),
        ("empty.pt", "the file is empty"),
        ("half.pt", "damaged"),
        ("weights.pt", "state_dict of 1 tensors"),
        (".", "folder"),
    ):
        with pytest.raises(CapfixError, match=message) as caught:
            load(str(tmp_path / name))
        assert caught.value.hint


def test_weights_that_do_not_fit_their_config_are_named(tmp_path, tiny_model):
    data = torch.load(tiny_model, weights_only=True)
    data["state_dict"]["decoder.out.bias"] = torch.zeros(3)
    del data["state_dict"]["decoder.out.weight"]
    torch.save(data, tmp_path / "wrong.pt")
    with pytest.raises(CapfixError) as caught:
        load(str(tmp_path / "wrong.pt"))
    assert "decoder.out.weight is missing" in caught.value.message
    assert "decoder.out.bias is [3]" in caught.value.message


def adapter(tmp_path, body):
    path = tmp_path / "my_adapter.py"
    path.write_text(textwrap.dedent(body))
    return path


def test_an_adapter_makes_any_model_run(tmp_path):
    path = adapter(
        tmp_path,
        """
        import torch
        from capfix_cli import Captioner
        class Mine(Captioner):
            sample_rate = 8000
            vocabulary = ["<bos>", "<eos>", "hum"]
            bos_id, eos_id = 0, 1
            def encode(self, waveforms, lengths):
                return waveforms.mean(dim=1)
            def logits(self, prefix, memory):
                return torch.zeros(len(memory), 3)
        def load(checkpoint, device):
            return Mine()
        """,
    )
    loaded = load("weights.bin", f"{path}:load")
    assert loaded.captioner.sample_rate == 8000
    assert loaded.summary.adapter == f"{path}:load"


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("my_adapter.py", "does not say its vocabulary"),  # its ``load`` is taken
        ("missing.py:load", "no adapter file"),
        ("my_adapter.py:lod", "no function 'lod'"),
        ("my_adapter.py:nothing", "NoneType, not a Captioner"),
        ("my_adapter.py:half", "does not say its vocabulary, bos_id, eos_id"),
        ("my_adapter.py:fails", "ZeroDivisionError"),
    ],
)
def test_adapter_mistakes_are_named(spec, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    adapter(
        tmp_path,
        """
        from capfix_cli import Captioner
        class Half(Captioner):
            sample_rate = 8000
        def load(checkpoint, device): return Half()
        def nothing(checkpoint, device): return None
        def half(checkpoint, device): return Half()
        def fails(checkpoint, device): return 1 / 0
        """,
    )
    with pytest.raises(CapfixError, match=message) as caught:
        load("x", spec)
    assert caught.value.hint
