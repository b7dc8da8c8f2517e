"""Tiny random Hugging Face captioners, saved by transformers in their real format."""

from __future__ import annotations

import json
import warnings
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

WORDS = ["dog", "barks", "rain", "falls", "bell", "rings", "a", "and", "loudly", "wind"]
SPECIAL = ["<pad>", "<s>", "</s>", "<unk>"]


def _tokenizer(prefix: tuple[str, ...] = ()) -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers

    library: Any = import_module("transformers")  # what it exports has no types

    words = [*SPECIAL, *prefix, *WORDS]
    inner = Tokenizer(
        models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>")
    )
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    return library.PreTrainedTokenizerFast(
        tokenizer_object=inner,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        additional_special_tokens=list(prefix),
    )


def save_whisper(folder: Path, seed: int = 0, **saving: Any) -> Path:
    """Save a Whisper of two layers with a forced prefix of two tokens."""
    library: Any = import_module("transformers")

    torch.manual_seed(seed)
    tokenizer = _tokenizer(("<|en|>", "<|caption|>"))
    config = library.WhisperConfig(
        vocab_size=len(tokenizer),
        d_model=16,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        max_target_positions=14,
        num_mel_bins=80,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=1,
        suppress_tokens=[3],
        begin_suppress_tokens=[2],
        init_std=0.4,
    )
    model = library.WhisperForConditionalGeneration(config)
    model.generation_config.forced_decoder_ids = [[1, 4], [2, 5]]
    model.generation_config.suppress_tokens = [3]
    model.generation_config.begin_suppress_tokens = [2]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save_pretrained(folder, **saving)
        library.WhisperFeatureExtractor(feature_size=80).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    return folder


def save_speech2text(folder: Path, seed: int = 0) -> Path:
    """Save a Speech2Text of two layers."""
    library: Any = import_module("transformers")

    torch.manual_seed(seed)
    tokenizer = _tokenizer()
    config = library.Speech2TextConfig(
        vocab_size=len(tokenizer),
        d_model=16,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        input_feat_per_channel=40,
        conv_channels=16,
        max_target_positions=14,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=1,
        init_std=0.4,
    )
    model = library.Speech2TextForConditionalGeneration(config)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save_pretrained(folder)
        library.Speech2TextFeatureExtractor(feature_size=40, num_mel_bins=40).save_pretrained(
            folder
        )
        tokenizer.save_pretrained(folder)
    return folder


def save_speech_encoder_decoder(folder: Path, seed: int = 0) -> Path:
    """Save a wav2vec 2.0 encoder before a BART decoder."""
    library: Any = import_module("transformers")

    torch.manual_seed(seed)
    tokenizer = _tokenizer()
    encoder = library.Wav2Vec2Config(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        conv_dim=(8, 8, 8),
        conv_stride=(5, 4, 4),
        conv_kernel=(10, 8, 8),
        num_feat_extract_layers=3,
        num_conv_pos_embeddings=4,
        num_conv_pos_embedding_groups=2,
        feat_extract_norm="layer",
        do_stable_layer_norm=True,
    )
    decoder = library.BartConfig(
        vocab_size=len(tokenizer),
        d_model=24,
        encoder_layers=1,
        decoder_layers=2,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        max_position_embeddings=14,
        is_decoder=True,
        add_cross_attention=True,
        is_encoder_decoder=False,
        forced_eos_token_id=None,
        init_std=0.4,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
    config = library.SpeechEncoderDecoderConfig.from_encoder_decoder_configs(encoder, decoder)
    config.decoder_start_token_id, config.pad_token_id, config.eos_token_id = 1, 0, 2
    model = library.SpeechEncoderDecoderModel(config=config)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save_pretrained(folder)
        library.Wav2Vec2FeatureExtractor(return_attention_mask=True).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    return folder


def save_moonshine(folder: Path, seed: int = 0) -> Path:
    """Save a Moonshine of one layer, which hears waveforms."""
    library: Any = import_module("transformers")

    torch.manual_seed(seed)
    tokenizer = _tokenizer()
    config = library.MoonshineConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=32,
        encoder_num_hidden_layers=1,
        decoder_num_hidden_layers=2,
        encoder_num_attention_heads=2,
        decoder_num_attention_heads=2,
        max_position_embeddings=14,
        initializer_range=0.4,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=1,
    )
    model = library.MoonshineForConditionalGeneration(config)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save_pretrained(folder)
        extractor = library.Wav2Vec2FeatureExtractor(return_attention_mask=True, do_normalize=False)
        extractor.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    return folder


def save_seamless(folder: Path, seed: int = 0, kind: str = "SeamlessM4T") -> Path:
    """Save the speech-to-text part of a SeamlessM4T with two languages."""
    library: Any = import_module("transformers")

    torch.manual_seed(seed)
    tokenizer = _tokenizer(("__eng__", "__fra__"))
    config = getattr(library, f"{kind}Config")(
        vocab_size=len(tokenizer),
        hidden_size=16,
        initializer_range=0.4,
        speech_encoder_layers=1,
        speech_encoder_attention_heads=2,
        speech_encoder_intermediate_size=32,
        feature_projection_input_dim=160,
        encoder_layers=1,
        encoder_attention_heads=2,
        encoder_ffn_dim=32,
        decoder_layers=2,
        decoder_attention_heads=2,
        decoder_ffn_dim=32,
        num_adapter_layers=1,
        max_position_embeddings=64,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=2,
    )
    model = getattr(library, f"{kind}ForSpeechToText")(config)
    codes = {name: tokenizer.convert_tokens_to_ids(f"__{name}__") for name in ("eng", "fra")}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save_pretrained(folder)
        told = folder / "generation_config.json"
        told.write_text(
            json.dumps(json.loads(told.read_text()) | {"text_decoder_lang_to_code_id": codes})
        )
        library.SeamlessM4TFeatureExtractor().save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    return folder
