"""Every family of audio language models: the same tokens as its own generate(), from disk."""

from __future__ import annotations

import pytest
import torch

from benchmarks.zoo import audio_language as zoo
from capfix_cli.captioners.contract import contract_check as contract
from capfix_cli.captioners.huggingface.audio_language_captioner import same_draws
from capfix_cli.captioners.loading import load
from capfix_cli.decoding.decode import EncodedBatch, decode
from capfix_cli.decoding.decoding_options import DecodingOptions

SECONDS = (1.0, 1.5, 1.9, 0.5)
NEEDS = {"gemma3n": "timm", "voxtral": "mistral_common"}  # beside torchvision


@pytest.fixture(scope="module", params=sorted(zoo.FAMILIES))
def captioner(request, tmp_path_factory):
    pytest.importorskip("torchvision")
    if request.param in NEEDS:
        pytest.importorskip(NEEDS[request.param])
    folder = zoo.save(request.param, tmp_path_factory.mktemp("alm") / request.param)
    return load(str(folder)).captioner


@pytest.fixture(scope="module")
def clips(captioner):
    return noises(captioner.sample_rate)


def noises(rate: int, seed: int = 1):
    """Clips of different sound and length."""
    lengths = torch.tensor([int(seconds * rate) for seconds in SECONDS])
    generator = torch.Generator().manual_seed(seed)
    waveforms = torch.randn(len(SECONDS), int(lengths.max()), generator=generator)
    waveforms *= torch.tensor([[0.1], [0.5], [0.02], [0.3]])
    waveforms[2] = 0.3 * torch.sin(0.05 * torch.arange(waveforms.shape[1]))
    return waveforms * (torch.arange(waveforms.shape[1]) < lengths.unsqueeze(1)), lengths


@torch.inference_mode()
def theirs(captioner, clips, **options):
    """What the model's own generate says to what its own processor makes."""
    fed = captioner.prompt(*clips)
    with same_draws():
        found = captioner.module.generate(
            **fed, max_new_tokens=captioner.max_length, do_sample=False, **options
        )
    rows = found[:, fed["input_ids"].shape[1] :].tolist()
    ends = {captioner.eos_id, *captioner.ends.others}
    return [tuple(row[: next((i for i, t in enumerate(row) if t in ends), None)]) for row in rows]


def ours(captioner, memory, **options):
    names = tuple(f"clip{number}" for number in range(len(SECONDS)))
    return [
        c.tokens
        for c in decode(captioner, EncodedBatch(names, memory), DecodingOptions(**options), 0)
    ]


def test_the_same_tokens_as_its_own_generate(captioner, clips):
    memory = captioner.encode(*clips)
    for options in ({}, {"num_beams": 3}, {"num_beams": 4, "length_penalty": 2.0}):
        assert ours(captioner, memory, **options) == theirs(captioner, clips, **options), options


def test_the_contract_holds(captioner):
    clauses = contract.check_contract(captioner)
    # A network of random weights may well depend on what its clips are batched with.
    broken = [c.what for c in clauses if not c.kept and c.name not in {"batch", "padding"}]
    assert broken == []
