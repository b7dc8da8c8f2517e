"""Audio language models from the command line: diagnosed end to end, and bad input in one line."""

from __future__ import annotations

import json
import shutil

import pytest
import soundfile
import torch

from benchmarks.zoo import audio_language as zoo
from benchmarks.zoo import audio_language_parts as parts


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return zoo.save("qwen2_audio", tmp_path_factory.mktemp("alm") / "model")


@pytest.fixture(scope="module")
def few(clips, tmp_path_factory):
    folder = tmp_path_factory.mktemp("few")
    for clip in sorted(clips.iterdir())[:3]:
        shutil.copy(clip, folder)
    return folder


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    generator = torch.Generator().manual_seed(0)
    for number in range(24):
        noise = 0.2 * torch.randn(8000, generator=generator)
        tone = 0.5 * torch.sin(torch.arange(8000) * 0.01 * (number + 1))
        soundfile.write(folder / f"clip{number:02}.wav", (noise + tone).numpy(), 16000)
    return folder


@pytest.fixture
def copied(model, tmp_path):
    """A copy of the folder to break."""
    return shutil.copytree(model, tmp_path / "model")


def change(folder, name, **values):
    path = folder / name
    told = json.loads(path.read_text()) | values
    path.write_text(json.dumps({k: v for k, v in told.items() if v is not None}))


@pytest.mark.slow
def test_one_that_was_never_trained_is_called_so(tmp_path, clips, capfix, monkeypatch):
    monkeypatch.setattr(zoo, "STANDARD", 0.02)
    monkeypatch.setattr(parts, "STANDARD", 0.02)  # as transformers draws weights
    folder = zoo.save("granite_speech", tmp_path / "granite")
    done = capfix("diagnose", folder, "--audio", clips, "--json", "--quiet")
    assert done.status == 0, done.err
    found = json.loads(done.out)
    assert found["model"]["format"] == "huggingface"
    assert found["causes"][0]["id"] == "weights.untrained"
    assert found["listening"]["bits"] is not None
    assert found["trials"] == []  # no decoding helps weights that nothing was learnt in
    assert found["signal"]


def test_the_prompt_reaches_the_words(model, few, capfix, tmp_path):
    said = []
    for number, words in enumerate(("Describe the sound", "dog barks and rain falls")):
        out = tmp_path / f"{number}.csv"
        done = capfix("generate", model, "--audio", few, "--prompt", words, "--output", out)
        assert done.status == 0, done.err
        said.append(out.read_text())
    assert said[0] != said[1]


def told(capfix, folder, clips, *more):
    return capfix("diagnose", folder, "--audio", clips, *more).complaint


def test_without_a_processor(copied, clips, capfix):
    (copied / "processor_config.json").unlink()
    (copied / "preprocessor_config.json").unlink(missing_ok=True)
    assert "has no processor" in told(capfix, copied, clips)


def test_without_a_chat_template(copied, clips, capfix):
    (copied / "chat_template.jinja").unlink()
    change(copied, "processor_config.json", processor_class="AudioFlamingo3Processor")
    change(copied, "processor_config.json", audio_token="<|AUDIO|>")
    line = told(capfix, copied, clips)
    assert "no chat template" in line
    assert "<|AUDIO|>" in line


def test_a_template_that_leaves_no_place_for_audio(copied, clips, capfix):
    (copied / "chat_template.jinja").write_text("{{ bos_token }} Describe")
    assert "leaves no place for the audio (<|AUDIO|>)" in told(capfix, copied, clips)
    (copied / "chat_template.jinja").write_text(
        "{% for m in messages %}{{ m['x']['y'] }}{% endfor %}"
    )
    assert "leaves no place for the audio" in told(capfix, copied, clips)


def test_a_language_model_without_ears(copied, clips, capfix):
    change(
        copied,
        "config.json",
        architectures=["Qwen2ForCausalLM"],
        model_type="qwen2",
        audio_config=None,
    )
    assert "a decoder alone: no audio can reach it" in told(capfix, copied, clips)


def test_a_family_that_transformers_does_not_know(copied, clips, capfix):
    change(copied, "config.json", architectures=["FooForCausalAudio"], model_type="foo_audio")
    line = told(capfix, copied, clips)
    assert "'foo_audio'" in line
    assert "does not know" in line


def test_a_shard_that_is_missing(model, tmp_path, few, capfix):
    from transformers import Qwen2AudioForConditionalGeneration

    folder = shutil.copytree(model, tmp_path / "sharded")
    loaded = Qwen2AudioForConditionalGeneration.from_pretrained(folder)
    (folder / "model.safetensors").unlink()
    loaded.save_pretrained(folder, max_shard_size="40KB")
    shards = sorted(folder.glob("model-*.safetensors"))
    assert len(shards) > 1
    assert capfix("generate", folder, "--audio", few, "--output", tmp_path / "o.csv").status == 0
    shards[1].unlink()
    assert shards[1].name in told(capfix, folder, few)


def test_weights_that_lack_a_tensor(copied, clips, capfix):
    from safetensors.torch import load_file, save_file

    tensors = load_file(copied / "model.safetensors")
    lost = next(name for name in tensors if "audio_tower" in name)
    save_file({n: t for n, t in tensors.items() if n != lost}, copied / "model.safetensors")
    line = told(capfix, copied, clips)
    assert "lack 1 tensor" in line
    assert "audio_tower" in line


def test_quantised_without_the_library(copied, clips, capfix):
    change(
        copied,
        "config.json",
        quantization_config={"quant_method": "bitsandbytes", "load_in_4bit": True},
    )
    line = told(capfix, copied, clips)
    assert "quantised (bitsandbytes)" in line
    assert "pip install bitsandbytes" in line


def test_an_id_of_the_hub_in_place_of_a_folder(clips, capfix):
    line = told(capfix, "openai/whisper-tiny", clips)
    assert "There is no model at openai/whisper-tiny" in line
    assert "hf download openai/whisper-tiny --local-dir whisper-tiny" in line


def test_a_prompt_for_what_takes_none(tmp_path, clips, capfix):
    from benchmarks.zoo import hugging

    folder = hugging.save_whisper(tmp_path / "w")
    assert "takes no prompt" in told(capfix, folder, clips, "--prompt", "Describe")
