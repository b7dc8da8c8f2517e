"""The same tokens as transformers' own generate(), on tiny random models saved to disk."""

from __future__ import annotations

import warnings

import pytest
import torch

from benchmarks.zoo import hugging
from capfix_cli.captioners.huggingface.huggingface_captioner import HuggingFaceCaptioner
from capfix_cli.captioners.huggingface.huggingface_folder import load_folder
from capfix_cli.decoding.decode import EncodedBatch, decode
from capfix_cli.decoding.decoding_options import DecodingOptions

CLIPS = 5
SAVED = {
    "whisper": hugging.save_whisper,
    "bart": hugging.save_speech_encoder_decoder,
}


@pytest.fixture(autouse=True)
def _no_gradients():
    with torch.inference_mode():
        yield


@pytest.fixture(scope="module", params=sorted(SAVED))
def captioner(request, tmp_path_factory) -> HuggingFaceCaptioner:
    folder = tmp_path_factory.mktemp("hf") / request.param
    return load_folder(str(SAVED[request.param](folder)), "cpu")


@pytest.fixture(scope="module")
def chunk(captioner) -> EncodedBatch:
    generator = torch.Generator().manual_seed(3)
    length = captioner.sample_rate
    waveforms = torch.randn(CLIPS, length, generator=generator) * torch.rand(CLIPS, 1)
    with torch.inference_mode():
        memory = captioner.encode(waveforms, torch.full((CLIPS,), length))
    return EncodedBatch(tuple(f"clip{i}" for i in range(CLIPS)), memory)


def theirs(captioner, chunk, **options) -> list[tuple[int, ...]]:
    """Words that transformers generates, without prefix, end and padding."""
    from transformers.generation.utils import GenerationMixin
    from transformers.modeling_outputs import BaseModelOutput

    start = captioner.start_prefix(len(chunk.names))
    extra = {"attention_mask": chunk.memory["mask"]} if "mask" in chunk.memory else {}
    banned = {
        "suppress_tokens": captioner.never or None,
        "begin_suppress_tokens": captioner.never_first or None,
        "forced_decoder_ids": None,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # Whisper's own generate() cuts long audio into pieces: the one below it decodes.
        found = GenerationMixin.generate(
            captioner.module,
            encoder_outputs=BaseModelOutput(last_hidden_state=chunk.memory["hidden"]),
            decoder_input_ids=start,
            max_new_tokens=captioner.max_length,
            pad_token_id=captioner.pad_id,
            eos_token_id=captioner.eos_id,
            # transformers 5.23 sizes the cache of speech encoder-decoders by the wrong config.
            use_cache="mask" not in chunk.memory,
            **{**banned, **options},
            **extra,
        )
    rows = []
    for row in found[:, start.shape[1] :].tolist():
        end = row.index(captioner.eos_id) if captioner.eos_id in row else len(row)
        rows.append(tuple(row[:end]))
    return rows


GREEDY_OPTIONS = [
    {},
    {"repetition_penalty": 1.7},
    {"repetition_penalty": 0.6},
    {"no_repeat_ngram_size": 1},
    {"no_repeat_ngram_size": 2},
    {"no_repeat_ngram_size": 3},
    {"min_new_tokens": 4},
    {"repetition_penalty": 1.3, "no_repeat_ngram_size": 2, "min_new_tokens": 3},
]
BEAM_OPTIONS = [
    {"num_beams": 5},
    {"num_beams": 2},
    {"num_beams": 3, "length_penalty": 0.0},
    {"num_beams": 3, "length_penalty": 2.0},
    {"num_beams": 4, "length_penalty": -1.0},
    {"num_beams": 4, "early_stopping": True},
    {"num_beams": 4, "early_stopping": "never"},
    {"num_beams": 4, "early_stopping": "never", "length_penalty": 0.0},
    {"num_beams": 4, "repetition_penalty": 1.5},
    {"num_beams": 4, "no_repeat_ngram_size": 2},
    {"num_beams": 4, "min_new_tokens": 4},
]


@pytest.mark.parametrize("options", GREEDY_OPTIONS + BEAM_OPTIONS, ids=str)
def test_the_same_tokens_as_transformers(captioner, chunk, options):
    ours = [c.tokens for c in decode(captioner, chunk, DecodingOptions(**options), 0)]
    assert ours == theirs(captioner, chunk, **options)


def test_several_beams_come_back_in_the_same_order(captioner, chunk):
    options = {"num_beams": 4, "num_return_sequences": 3}
    found = decode(captioner, chunk, DecodingOptions(**options), 0)
    ours = [one.tokens for c in found for one in (c, *c.others)]
    assert ours == theirs(captioner, chunk, **options)


SAMPLING = [
    {},
    {"temperature": 0.6},
    {"temperature": 1.4},
    {"top_k": 3},
    {"top_p": 0.7},
    {"top_p": 0.3},
    {"min_p": 0.2},
    {"typical_p": 0.6},
    {"temperature": 0.8, "top_k": 6, "top_p": 0.8, "min_p": 0.05},
    {"temperature": 1.2, "top_p": 0.9, "typical_p": 0.8},
]


@pytest.mark.parametrize("options", SAMPLING, ids=str)
def test_the_distribution_that_transformers_samples(captioner, chunk, options):
    """transformers' own warpers give the odds of the first word; ours are counted against them."""
    draws = 4000
    config = captioner.module.generation_config
    prepared = captioner.prepare(chunk.memory)
    scores = captioner.open(prepared)[0][:1].float()
    scores[:, list(captioner.forbidden_tokens(0))] = -torch.inf
    odds = _warped(scores, options, config).softmax(dim=1)[0]
    names = tuple(f"draw{i}" for i in range(draws))
    memory = {name: part[:1].expand(draws, *part.shape[1:]) for name, part in chunk.memory.items()}
    drawn = decode(
        captioner,
        EncodedBatch(names, memory),
        DecodingOptions(do_sample=True, max_new_tokens=1, **options),
        7,
    )
    first = [c.tokens[0] if c.tokens else captioner.eos_id for c in drawn]
    counts = torch.bincount(torch.tensor(first), minlength=len(odds)).double()
    assert bool((counts[odds == 0] == 0).all())
    likely = odds > 0
    expected = odds[likely].double() * draws
    statistic = float(((counts[likely] - expected) ** 2 / expected).sum())
    freedom = int(likely.sum()) - 1
    # Chi-squared has mean f and variance 2 f: the seed is fixed, 4 deviations leave no doubt.
    assert statistic < freedom + 4 * (2 * max(1, freedom)) ** 0.5


def _warped(scores, options, config):
    from transformers.generation import logits_process as theirs

    makers = {
        "temperature": theirs.TemperatureLogitsWarper,
        "top_k": theirs.TopKLogitsWarper,
        "top_p": theirs.TopPLogitsWarper,
        "min_p": theirs.MinPLogitsWarper,
        "typical_p": theirs.TypicalLogitsWarper,
    }
    for name, make in makers.items():
        if name in options:
            scores = make(options[name])(None, scores)
    return scores


def test_steps_score_as_the_model_itself(captioner, chunk):
    """Incremental scores over shared audio equal a plain forward pass of the whole prefix."""
    caption = decode(captioner, chunk, DecodingOptions(num_beams=3), 0)
    prepared = captioner.prepare(chunk.memory)
    logits, state = captioner.open(prepared)
    prefix = captioner.start_prefix(CLIPS)
    for place in range(3):
        plain = captioner.logits(prefix, chunk.memory)
        torch.testing.assert_close(logits, plain, atol=1e-4, rtol=1e-4)
        token = torch.tensor([(*c.tokens, 0, 0, 0)[place] for c in caption])
        prefix = torch.cat([prefix, token[:, None]], dim=1)
        logits, state = captioner.step(token, state, prepared)


def test_audio_is_heard_over_frames(captioner, chunk):
    captioner.prepare(chunk.memory)
    assert captioner.way == "frames"
    assert captioner.shares_memory
