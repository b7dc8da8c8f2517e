"""Whisper on a small scale, trained and saved by transformers: an architecture that is not ours."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from capfix_cli.audio.audio_batches import iterate_batches
from capfix_cli.audio.audio_files import read_headers

NAME = "whisper"
BANDS, HOP, RATE, SECONDS = 32, 320, 16_000, 5
FRAMES = SECONDS * RATE // HOP
EPOCHS, BATCH, RATE_OF_LEARNING = 30, 32, 2e-3


def words_of(text: str) -> list[str]:
    """Part a caption as the tokenizer does."""
    return re.findall(r"\w+|[^\w\s]+", text.lower())


def extractor() -> Any:
    """Make the front end: log-mel as Whisper has it, of fewer bands and frames."""
    library: Any = import_module("transformers")
    return library.WhisperFeatureExtractor(
        feature_size=BANDS, sampling_rate=RATE, hop_length=HOP, n_fft=1024, chunk_length=SECONDS
    )


def features_of(folder: Path) -> dict[str, Tensor]:
    """Compute name -> [bands, frames] of a folder."""
    front = extractor()
    found: dict[str, Tensor] = {}
    for batch in iterate_batches(read_headers(folder)[0], RATE, BATCH):
        clips = [row[:n].numpy() for row, n in zip(batch.waveforms, batch.lengths, strict=True)]
        made = front(clips, sampling_rate=RATE, return_tensors="pt").input_features
        found |= dict(zip(batch.names, made, strict=True))
    return found


def build(texts: Iterable[str]) -> tuple[Any, Any]:
    """Make a model with random weights, and a tokenizer of all words of some texts."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
    from transformers import WhisperConfig, WhisperForConditionalGeneration

    library: Any = import_module("transformers")
    names = ["<pad>", "<s>", "</s>", "<unk>"]
    names += sorted({word for text in texts for word in words_of(text)})
    inner = Tokenizer(
        models.WordLevel({word: n for n, word in enumerate(names)}, unk_token="<unk>")
    )
    inner.normalizer = normalizers.Lowercase()
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    special = dict(zip(("pad_token", "bos_token", "eos_token", "unk_token"), names, strict=False))
    tokenizer = library.PreTrainedTokenizerFast(tokenizer_object=inner, **special)
    size: dict[str, Any] = {"d_model": 64, "encoder_layers": 2, "decoder_layers": 2}
    heads: dict[str, Any] = {"encoder_attention_heads": 4, "decoder_attention_heads": 4}
    width: dict[str, Any] = {"encoder_ffn_dim": 256, "decoder_ffn_dim": 256}
    config = WhisperConfig(
        vocab_size=len(names),
        num_mel_bins=BANDS,
        max_source_positions=FRAMES // 2,
        max_target_positions=32,
        **size,
        **heads,
        **width,
        dropout=0.1,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=1,
        suppress_tokens=None,
        begin_suppress_tokens=None,
    )
    model = WhisperForConditionalGeneration(config)
    model.generation_config.max_length = 30
    return model, tokenizer


def train(
    captions: Mapping[str, Sequence[str]],
    texts: Iterable[str],
    features: Mapping[str, Tensor],
    path: Path,
    *,
    epochs: int,
    seed: int,
) -> None:
    """Train a model on captions and save it as a folder of transformers.

    Args:
        captions: clip name -> captions to learn.
        texts: whose words the tokenizer has.
        features: clip name -> [bands, frames].
        path: of the folder.
        epochs: passes over the clips, one caption of each drawn.
        seed: of weights and draws.
    """
    torch.manual_seed(seed)
    model, tokenizer = build(texts)
    model.train()
    generator = np.random.default_rng(seed)
    names = sorted(features)
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE_OF_LEARNING)
    steps = epochs * (len(names) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE_OF_LEARNING, total_steps=steps)
    for _ in range(epochs):
        order = generator.permutation(len(names))
        for start in range(0, len(names) - BATCH + 1, BATCH):
            chosen = [names[i] for i in order[start : start + BATCH]]
            said = [captions[n][int(generator.integers(len(captions[n])))] for n in chosen]
            rows = [[*tokenizer(text, add_special_tokens=False).input_ids, 2] for text in said]
            longest = max(map(len, rows))
            labels = torch.tensor([row + [-100] * (longest - len(row)) for row in rows])
            given = torch.stack([features[n] for n in chosen])
            loss = model(input_features=given, labels=labels).loss
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save_pretrained(path)
        extractor().save_pretrained(path)
        tokenizer.save_pretrained(path)
