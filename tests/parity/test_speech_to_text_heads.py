"""Speech encoders with a text decoder, from disk: the same tokens as their own generate()."""

from __future__ import annotations

import warnings
from functools import partial

import pytest
import torch

from benchmarks.zoo import hugging
from capfix_cli.captioners.contract import contract_check as contract
from capfix_cli.captioners.loading import load
from capfix_cli.checkpoints.model_options import ModelOptions
from capfix_cli.core.errors import CapfixError
from capfix_cli.decoding.decode import EncodedBatch, decode
from capfix_cli.decoding.decoding_options import DecodingOptions

SAVED = {
    "speech_to_text": (hugging.save_speech2text, None),
    "moonshine": (hugging.save_moonshine, None),
    "seamless_m4t": (hugging.save_seamless, "eng"),
    "seamless_m4t_v2": (partial(hugging.save_seamless, kind="SeamlessM4Tv2"), "__fra__"),
}


@pytest.mark.parametrize("kind", SAVED)
@torch.inference_mode()
def test_the_same_tokens_as_generate(kind, tmp_path):
    save, language = SAVED[kind]
    made = load(str(save(tmp_path / kind)), options=ModelOptions(prompt=language)).captioner
    made.max_length = 12
    lengths = torch.tensor([16_000, 24_000, 31_000, 12_000])
    waveforms = torch.randn(4, 31_000, generator=torch.Generator().manual_seed(1))
    waveforms *= torch.tensor([[0.1], [0.5], [0.02], [0.3]])
    waveforms *= torch.arange(31_000) < lengths.unsqueeze(1)
    memory, start = made.encode(waveforms, lengths), made.start_prefix(4)
    for options in ({}, {"num_beams": 3}):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            rows = made.module.generate(
                **made.inputs(waveforms, lengths), decoder_input_ids=start, max_new_tokens=12,
                do_sample=False, eos_token_id=made.eos_id, pad_token_id=made.pad_id, **options,
            )[:, start.shape[1] :].tolist()  # fmt: skip
        theirs = [tuple(r[: r.index(made.eos_id)] if made.eos_id in r else r) for r in rows]
        found = decode(made, EncodedBatch(tuple("abcd"), memory), DecodingOptions(**options), 0)
        assert [c.tokens for c in found] == theirs
    broken = [c.what for c in contract.check_contract(made) if not c.kept]
    assert broken == []


def test_a_language_is_asked_for_and_must_be_known(tmp_path):
    folder = str(hugging.save_seamless(tmp_path / "seamless"))
    with pytest.raises(CapfixError, match="told its language as a prompt") as told:
        load(folder)
    assert "--prompt eng" in told.value.hint
    with pytest.raises(CapfixError, match="'klingon' is none of eng, fra"):
        load(folder, options=ModelOptions(prompt="klingon"))
