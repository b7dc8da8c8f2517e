"""Adapters of PEFT over a base folder: merged while loading, and what does not fit in one line."""

from __future__ import annotations

import json
import warnings

import pytest
import torch

from benchmarks.zoo import audio_language as zoo
from capfix_cli.captioners.huggingface import peft_folder
from capfix_cli.captioners.loading import load
from capfix_cli.core.errors import CapfixError

peft = pytest.importorskip("peft")


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return zoo.save("granite_speech", tmp_path_factory.mktemp("base") / "granite")


@pytest.fixture
def adapted(base, tmp_path):
    """An adapter with random weights, and the network that runs it unmerged."""
    from transformers import GraniteSpeechForConditionalGeneration

    torch.manual_seed(4)
    model = GraniteSpeechForConditionalGeneration.from_pretrained(base)
    config = peft.LoraConfig(
        r=4, lora_alpha=16, target_modules=["q_proj", "v_proj"], init_lora_weights=False
    )
    folder = tmp_path / "adapter"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # peft uses what transformers will drop
        wrapped = peft.get_peft_model(model, config).eval()
        wrapped.save_pretrained(folder)
    change(folder, base_model_name_or_path=str(base))
    return folder, wrapped


def change(folder, **values):
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


@torch.inference_mode()
def test_an_adapter_is_merged_into_its_base(base, adapted):
    folder, wrapped = adapted
    loaded = load(str(folder))
    made, plain = loaded.captioner, load(str(base)).captioner
    assert loaded.summary.facts["weights.adapter_merged_into"] == str(base)
    assert not [name for name, _ in made.module.named_parameters() if "lora" in name]
    waveforms = 0.1 * torch.randn(2, 16_000, generator=torch.Generator().manual_seed(0))
    lengths = torch.full((2,), 16_000)
    fed = made._fed(waveforms, lengths)
    theirs = wrapped(**fed).logits[:, -1]
    scores = made.open(made.prepare(made.encode(waveforms, lengths)))[0]
    torch.testing.assert_close(scores, theirs, atol=1e-3, rtol=1e-3)
    without = plain.open(plain.prepare(plain.encode(waveforms, lengths)))[0]
    assert not torch.allclose(without, theirs, atol=0.1)


def test_a_base_beside_the_adapter_is_found(base, adapted):
    folder, _ = adapted
    (folder.parent / "granite").symlink_to(base)
    change(folder, base_model_name_or_path="granite")
    assert peft_folder.base_of(str(folder)) == str(folder.parent / "granite")


def test_a_base_that_is_not_here_gives_the_command(adapted):
    folder, _ = adapted
    change(folder, base_model_name_or_path="ibm-granite/granite-speech-3.3-2b")
    with pytest.raises(CapfixError, match="which is not here") as told:
        load(str(folder))
    assert (
        "hf download ibm-granite/granite-speech-3.3-2b --local-dir granite-speech-3.3-2b"
        in told.value.hint
    )
    change(folder, base_model_name_or_path="/gone/granite")
    with pytest.raises(CapfixError, match="adapter over /gone/granite"):
        load(str(folder))
    change(folder, base_model_name_or_path=None)
    with pytest.raises(CapfixError, match="names no base_model_name_or_path"):
        load(str(folder))


def test_an_adapter_of_another_model_is_refused(adapted, tmp_path):
    folder, _ = adapted
    other = zoo.save("phi4_multimodal", tmp_path / "phi4")
    change(folder, base_model_name_or_path=str(other))
    with pytest.raises(CapfixError) as told:
        load(str(folder))
    assert str(folder) in str(told.value)


def test_an_adapter_without_its_weights(adapted):
    folder, _ = adapted
    (folder / "adapter_model.safetensors").unlink()
    with pytest.raises(CapfixError, match="no weights of its adapter"):
        load(str(folder))


def test_weights_that_were_never_merged_are_told(base, adapted, tmp_path):
    import shutil

    from safetensors.torch import save_file

    _, wrapped = adapted
    unmerged = shutil.copytree(base, tmp_path / "unmerged")
    tensors = {n.removeprefix("base_model.model."): t for n, t in wrapped.state_dict().items()}
    save_file({n: t.clone() for n, t in tensors.items()}, unmerged / "model.safetensors")
    with pytest.raises(CapfixError, match="an adapter that was never merged") as told:
        load(str(unmerged))
    assert "merge_and_unload" in told.value.hint


def test_the_library_is_asked_for(adapted, monkeypatch):
    import sys

    folder, _ = adapted
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(CapfixError, match="merged with the peft library") as told:
        load(str(folder))
    assert "pip install 'capfix[peft]'" in told.value.hint
