"""A projected prefix before a language model: the same words as the language model's generate()."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import capfix_cli
from benchmarks.zoo.audio_language_parts import make_tokenizer
from capfix_cli.captioners.contract import contract_check as contract
from capfix_cli.decoding.decode import EncodedBatch, decode
from capfix_cli.decoding.decoding_options import DecodingOptions

MELS, WIDTH, CLIPS = 16, 24, 4


class Captions(nn.Module):
    """A mean over frames, a mapping to three places, and a language model."""

    def __init__(self, words: int, kind: str) -> None:
        super().__init__()
        import transformers

        self.ears = nn.Linear(MELS, 20)
        self.mapping = nn.Linear(20, 3 * WIDTH)
        size = {"vocab_size": words, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
        if kind == "gpt2":
            config = transformers.GPT2Config(
                n_embd=WIDTH, n_layer=2, n_head=2, n_positions=64, initializer_range=0.4, **size
            )
            self.words = transformers.GPT2LMHeadModel(config)
        else:
            config = transformers.LlamaConfig(
                hidden_size=WIDTH, intermediate_size=32, num_hidden_layers=2,
                num_attention_heads=2, initializer_range=0.4, **size,
            )  # fmt: skip
            self.words = transformers.LlamaForCausalLM(config)

    def hear(self, mel):
        return torch.tanh(self.ears(mel)).mean(1)

    def project(self, clip):
        return 3 * self.mapping(clip).view(len(clip), 3, WIDTH)


def make(kind, **more):
    torch.manual_seed(1)
    words = make_tokenizer()
    network = Captions(len(words), kind).eval()
    return capfix_cli.PrefixLanguageModelCaptioner(
        module=network, encoder=network.hear, project=more.pop("project", network.project),
        language_model=network.words, tokenizer=words, max_length=10,
        front_end=capfix_cli.LogMelFrontEnd(16_000, 1024, 512, MELS), **more,
    )  # fmt: skip


@pytest.fixture
def clips():
    generator = torch.Generator().manual_seed(5)
    loud = torch.tensor([[0.001], [0.01], [0.1], [1.0]])
    return (loud * torch.randn(CLIPS, 16_000, generator=generator)).clamp(-1, 1)


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
@pytest.mark.parametrize("asked", [{}, {"prompt": "Describe the sound"}, {"begin": 1}], ids=str)
@torch.inference_mode()
def test_the_same_words_as_generate_on_the_same_embeddings(kind, asked, clips):
    made = make(kind, **asked)
    memory = made.encode(clips, torch.full((CLIPS,), clips.shape[1]))
    embed = made.language_model.get_input_embeddings()
    before = made.prompt + ([1] if "begin" in asked else [])
    ids = torch.tensor(before, dtype=torch.long).expand(CLIPS, -1)
    whole = torch.cat([memory["audio"], embed(ids)], dim=1)
    said = set()
    for options in ({}, {"num_beams": 3}):
        rows = made.language_model.generate(
            inputs_embeds=whole, attention_mask=torch.ones(whole.shape[:2]).long(),
            max_new_tokens=10, do_sample=False, **options,
        ).tolist()  # fmt: skip
        theirs = [tuple(row[: row.index(2)] if 2 in row else row) for row in rows]
        names = tuple("abcd")
        found = decode(made, EncodedBatch(names, memory), DecodingOptions(**options), 0)
        assert [c.tokens for c in found] == theirs
        said |= set(theirs)
    assert len(said) > 1


def test_the_contract_holds_and_padded_places_do_not_count(clips):
    def project(clip):
        prefix = network.project(clip)
        inside = torch.ones(prefix.shape[:2], dtype=torch.bool)
        inside[::2, -1] = False
        return prefix, inside

    made = make("gpt2", project=project)
    network = made.module
    clauses = contract.check_contract(made)
    assert [c.what for c in clauses if not c.kept] == []
    memory = made.encode(clips, torch.full((CLIPS,), clips.shape[1]))
    prefix = made.start_prefix(CLIPS)
    noise = torch.randn(WIDTH, generator=torch.Generator().manual_seed(1))
    scores = [made.logits(prefix, memory)]
    for row in (0, 1):  # the last place of the first clip is none of its own
        changed = memory["audio"].clone()
        changed[row, -1] += noise
        scores.append(made.logits(prefix, {**memory, "audio": changed}))
    torch.testing.assert_close(scores[1], scores[0])
    assert not torch.allclose(scores[2][1], scores[0][1], atol=1e-2)


def test_what_does_not_fit_is_one_line(clips):
    made = make("gpt2", project=lambda clip: clip)
    with pytest.raises(capfix_cli.CapfixError, match=r"prefix of \[clips, places, 24\]"):
        made.encode(clips, torch.full((CLIPS,), clips.shape[1]))
    words = make_tokenizer()
    network = Captions(5, "gpt2")
    with pytest.raises(capfix_cli.CapfixError, match="the language model 5 words"):
        capfix_cli.PrefixLanguageModelCaptioner(
            module=network, encoder=network.hear, project=network.project,
            language_model=network.words, tokenizer=words, sample_rate=16_000,
        )  # fmt: skip
