"""A BART over audio features of the user's own, in the layout of the DCASE 2023 baseline."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn

import capfix_cli
from benchmarks.zoo import hugging
from capfix_cli.captioners.contract import contract_check as contract
from capfix_cli.checkpoints.inspection import inspect_checkpoint

MELS, WIDTH = 16, 24


class AudioBart(nn.Module):
    """A convolution over log-mels, a projection, and BART in place of its word embeddings."""

    def __init__(self, words: int) -> None:
        super().__init__()
        from transformers import BartConfig, BartForConditionalGeneration

        self.audio_enc = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4))
        self.audio_adapt = nn.Linear(4 * MELS, WIDTH)
        config = BartConfig(
            vocab_size=words,
            d_model=WIDTH,
            encoder_layers=1,
            decoder_layers=2,
            encoder_attention_heads=2,
            decoder_attention_heads=2,
            encoder_ffn_dim=32,
            decoder_ffn_dim=32,
            max_position_embeddings=256,
            forced_eos_token_id=None,
            init_std=0.4,
            pad_token_id=0,
            bos_token_id=1,
            eos_token_id=2,
            decoder_start_token_id=2,
        )
        self.bart_lm = BartForConditionalGeneration(config)

    def heard(self, mel):
        maps = self.audio_enc(mel.unsqueeze(1))
        return self.audio_adapt(maps.transpose(1, 2).flatten(2))


@pytest.fixture
def captioner(tmp_path):
    torch.manual_seed(0)
    words = capfix_cli.load_tokenizer(str(hugging.save_whisper(tmp_path / "w")))
    path = tmp_path / "pytorch_model.bin"
    torch.save(AudioBart(len(words)).state_dict(), path)
    network = AudioBart(len(words))
    capfix_cli.load_weights(str(path), network=network)
    front_end = capfix_cli.LogMelFrontEnd(16_000, 1024, 512, MELS)

    def inputs(waveforms, lengths):
        mel, frames = front_end(waveforms, lengths)
        inside = torch.arange(mel.shape[1]) < frames.unsqueeze(1)
        heard = network.heard(mel) * inside.unsqueeze(2)
        return {"inputs_embeds": heard, "attention_mask": inside.long()}

    made = capfix_cli.HuggingFaceCaptioner(network.bart_lm, words, inputs, 16_000, prefix=[2, 1])
    return made, path


def test_features_of_ones_own_go_into_a_bart(captioner):
    made, _path = captioner
    clauses = contract.check_contract(made)
    assert [c.name for c in clauses if not c.kept] == [], [c.what for c in clauses if not c.kept]
    assert {"step", "sequence", "autoregressive"} <= {c.name for c in clauses if not c.note}
    waveforms, lengths = contract.synthetic_audio(made)
    memory = made.encode(waveforms, lengths)
    scores = made.logits(made.start_prefix(3), memory)
    assert not torch.allclose(scores[0], scores[1], atol=1e-4)  # the audio reaches the words


def test_its_layout_is_read_right(captioner):
    facts = inspect_checkpoint(str(captioner[1])).facts
    told = {name: facts[name].value for name in ("encoder.kind", "decoder.kind", "conditioning")}
    assert told == {
        "encoder.kind": "transformer",  # BART's own encoder makes the memory, of the CNN's maps
        "decoder.kind": "transformer",
        "conditioning": "cross-attention",
    }
    assert facts["decoder.layers"].value == 2
    assert facts["decoder.width"].value == WIDTH
    assert facts["encoder.batchnorm"].value is True
    assert facts["output.tied"].value is True
    assert json.dumps(facts["output.tied"].evidence).count("lm_head") == 1
