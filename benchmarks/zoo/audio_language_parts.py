"""What the tiny audio language models of these files are made of: words, sizes, a tokenizer."""

from __future__ import annotations

import warnings
from importlib import import_module
from pathlib import Path
from typing import Any

WORDS = ["a", "dog", "barks", "rain", "falls", "bell", "rings", "and", "loudly", "wind", "then"]
PROMPT = ["Describe", "the", "sound", "in", "one", "sentence", "."]
ROLES = ["system", "user", "assistant", "model", "Audio", "1", ":", "You", "are", "helpful"]
SPECIAL = ["<pad>", "<s>", "</s>", "<unk>"]
STANDARD = 0.4  # of the weights: large enough that audio and words move the scores

# The layout of Qwen's templates: one message, the audio where its part stands.
CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }} "
    "{% if message['content'] is string %}{{ message['content'] }}"
    "{% else %}{% for part in message['content'] %}"
    "{% if part['type'] == 'audio' %}AUDIO{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endif %}<|im_end|> {% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant {% endif %}"
)


def library() -> Any:
    """What transformers exports has no types."""
    return import_module("transformers")


def make_tokenizer(*special: str, template: str | None = None, **named: str) -> Any:
    """Make a tokenizer of whole words; ``named`` special tokens get attributes of their own."""
    from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers

    extra = ["<|im_start|>", "<|im_end|>", *special, *named.values()]
    words = list(dict.fromkeys([*SPECIAL, *extra, *WORDS, *PROMPT, *ROLES]))
    inner = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    inner.add_special_tokens([AddedToken(token, special=True) for token in [*SPECIAL, *extra]])
    made = library().PreTrainedTokenizerFast(
        tokenizer_object=inner,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        extra_special_tokens=named or list(extra),
    )
    if template is not None:
        made.chat_template = template
    return made


def text_config(kind: str, tokenizer: Any, **more: Any) -> dict[str, Any]:
    """Settings of a small language model of the families that share these names."""
    return {
        "model_type": kind,
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "max_position_embeddings": 4096,
        "initializer_range": STANDARD,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "tie_word_embeddings": False,
        **more,
    }


def whisper_tower(kind: str, **more: Any) -> dict[str, Any]:
    """Settings of a small encoder of Whisper's kind."""
    return {
        "model_type": kind,
        "num_mel_bins": 16,
        "d_model": 16,
        "encoder_layers": 1,
        "encoder_attention_heads": 2,
        "encoder_ffn_dim": 32,
        "max_source_positions": 1500,
        "initializer_range": STANDARD,
        **more,
    }


def save_folder(folder: Path, model: Any, processor: Any, pad: int = 0) -> Path:
    """Save a model and its processor as transformers does."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        config = model.generation_config
        config.eos_token_id, config.pad_token_id, config.bos_token_id = 2, pad, 1
        config.max_new_tokens = 12
        model.save_pretrained(folder)
        processor.save_pretrained(folder)
    return folder
