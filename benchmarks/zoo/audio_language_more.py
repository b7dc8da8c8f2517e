"""Tiny audio language models of the families that came later or stand apart."""

from __future__ import annotations

import base64
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.zoo.audio_language_parts import (
    CHATML,
    STANDARD,
    library,
    make_tokenizer,
    save_folder,
    text_config,
    whisper_tower,
)

MISTRAL = [
    "<unk>",
    "<s>",
    "</s>",
    "[INST]",
    "[/INST]",
    "[AVAILABLE_TOOLS]",
    "[/AVAILABLE_TOOLS]",
    "[TOOL_RESULTS]",
    "[/TOOL_RESULTS]",
    "[TOOL_CALLS]",
    "[IMG]",
    "<pad>",
    "[IMG_BREAK]",
    "[IMG_END]",
    "[PREFIX]",
    "[MIDDLE]",
    "[SUFFIX]",
    "[SYSTEM_PROMPT]",
    "[/SYSTEM_PROMPT]",
    "[TOOL_CONTENT]",
    "[ARGS]",
    "[CALL_ID]",
    "[THINK]",
    "[/THINK]",
    "[AUDIO]",
    "[BEGIN_AUDIO]",
    "[TRANSCRIBE]",
]


def save_tekken(path: Path) -> Path:
    """Write a ``tekken.json`` of single bytes, with the special tokens of Voxtral."""
    tokens = [
        {"rank": byte, "token_bytes": base64.b64encode(bytes([byte])).decode(), "token_str": None}
        for byte in range(256)
    ]
    special = [
        {"rank": rank, "token_str": name, "is_control": True} for rank, name in enumerate(MISTRAL)
    ]
    size = len(tokens) + len(special)
    config = {
        "pattern": r"[^\s]+|\s+",
        "num_vocab_tokens": len(tokens),
        "default_vocab_size": size,
        "default_num_special_tokens": len(special),
        "version": "v11",
    }
    mel = {"num_mel_bins": 16, "hop_length": 160, "window_size": 400}
    audio = {"sampling_rate": 16000, "frame_rate": 12.5, "chunk_length_s": 30.0}
    told: dict[str, Any] = {"config": config, "vocab": tokens, "special_tokens": special}
    told["audio"] = {**audio, "audio_encoding_config": mel}
    path.write_text(json.dumps(told))
    return path


def save_voxtral(folder: Path) -> Path:
    """Voxtral: Mistral's tokenizer places the audio, four frames to a token, Llama."""
    names = library()
    with tempfile.TemporaryDirectory() as held:
        save_tekken(Path(held) / "tekken.json")
        tokenizer = names.MistralCommonBackend.from_pretrained(held)
        sizes = text_config("llama", range(256 + len(MISTRAL)), pad_token_id=11)
        config = names.VoxtralConfig(
            audio_config=whisper_tower("voxtral_encoder", encoder_ffn_dim=64),
            text_config=sizes,
            audio_token_id=24,
        )
        processor = names.VoxtralProcessor(
            names.WhisperFeatureExtractor(feature_size=16), tokenizer
        )
        return save_folder(folder, names.VoxtralForConditionalGeneration(config), processor, pad=11)


def save_qwen3_asr(folder: Path) -> Path:
    """Qwen3-ASR: windows of frames, Qwen3."""
    names = library()
    tokenizer = make_tokenizer(
        audio_token="<|audio_pad|>",
        audio_bos_token="<|audio_start|>",
        audio_eos_token="<|audio_end|>",
    )
    config = names.Qwen3ASRConfig(
        audio_config=whisper_tower("qwen3_asr_encoder", output_dim=32, downsample_hidden_size=8),
        text_config=text_config("qwen3", tokenizer),
        audio_token_id=tokenizer.convert_tokens_to_ids("<|audio_pad|>"),
        pad_token_id=0,
        eos_token_id=2,
        tie_word_embeddings=False,
    )
    processor = names.Qwen3ASRProcessor(
        names.Qwen3ASRFeatureExtractor(feature_size=16),
        tokenizer,
        chat_template=CHATML.replace("AUDIO", "<|audio_start|><|audio_pad|><|audio_end|>"),
    )
    return save_folder(folder, names.Qwen3ASRForConditionalGeneration(config), processor)


def save_fun_asr_nano(folder: Path) -> Path:
    """Fun-ASR-Nano: an encoder of memory blocks, an adaptor, Qwen3."""
    names = library()
    tokenizer = make_tokenizer("<|object_ref_start|>")
    small = {"num_attention_heads": 2}
    config = names.FunAsrNanoConfig(
        audio_config={
            "num_mel_bins": 16,
            "hidden_size": 16,
            "num_hidden_layers": 2,
            "num_timestamp_prediction_layers": 1,
            "intermediate_size": 32,
            **small,
        },
        adaptor_config={
            "hidden_size": 32,
            "num_hidden_layers": 1,
            "intermediate_size": 8,
            **small,
        },
        text_config=text_config("qwen3", tokenizer),
        audio_token_id=tokenizer.convert_tokens_to_ids("<|object_ref_start|>"),
        initializer_range=STANDARD,
        tie_word_embeddings=False,
    )
    processor = names.FunAsrNanoProcessor(
        names.FunAsrNanoFeatureExtractor(feature_size=16),
        tokenizer,
        chat_template=CHATML.replace("AUDIO", "<|object_ref_start|>"),
    )
    return save_folder(folder, names.FunAsrNanoForConditionalGeneration(config), processor)


def save_moss(folder: Path) -> Path:
    """MOSS-Transcribe-Diarize: seconds are written between the places of the audio."""
    names = library()
    tokenizer = make_tokenizer("<|audio_pad|>", "<|audio_start|>", "<|audio_end|>")
    config = names.MossTranscribeDiarizeConfig(
        audio_config=whisper_tower("moss_transcribe_diarize_audio"),
        text_config=text_config("qwen3", tokenizer),
        audio_token_id=tokenizer.convert_tokens_to_ids("<|audio_pad|>"),
        tie_word_embeddings=False,
    )
    processor = names.MossTranscribeDiarizeProcessor(
        names.MossTranscribeDiarizeFeatureExtractor(feature_size=16),
        tokenizer,
        chat_template=CHATML.replace("AUDIO", "<|audio_start|><|audio_pad|><|audio_end|>"),
        time_marker_every_seconds=1,
    )
    return save_folder(
        folder, names.MossTranscribeDiarizeForConditionalGeneration(config), processor
    )


def save_vibevoice_asr(folder: Path) -> Path:
    """VibeVoice-ASR: two tokenizers of sound, Qwen2.

    Its own draws noise upon what it hears, anew for each beam; this one draws none, so that beams
    can be compared.
    """
    names = library()
    tokenizer = make_tokenizer("<|box_start|>", "<|object_ref_start|>", "<|object_ref_end|>")
    ids = tokenizer.convert_tokens_to_ids
    # 3,200 samples to a token, as the processor counts them.
    ears = {"num_filters": 4, "depths": [1, 1, 1, 1], "downsampling_ratios": [8, 20, 20]}
    ears |= {"vae_std": 0.0, "initializer_range": STANDARD}
    config = names.VibeVoiceAsrConfig(
        acoustic_tokenizer_encoder_config={**ears, "hidden_size": 8},
        semantic_tokenizer_encoder_config={**ears, "hidden_size": 16},
        text_config=text_config("qwen2", tokenizer),
        audio_token_id=ids("<|box_start|>"),
        audio_bos_token_id=ids("<|object_ref_start|>"),
        audio_eos_token_id=ids("<|object_ref_end|>"),
    )
    processor = names.VibeVoiceAsrProcessor(
        names.VibeVoiceAcousticTokenizerFeatureExtractor(),
        tokenizer,
        chat_template=CHATML.replace(
            "AUDIO", "<|object_ref_start|><|box_start|><|object_ref_end|>"
        ),
    )
    return save_folder(folder, names.VibeVoiceAsrForConditionalGeneration(config), processor)


def save_omni_asr(folder: Path) -> Path:
    """Omnilingual ASR: wav2vec 2.0 on waveforms, Llama."""
    names = library()
    tokenizer = make_tokenizer("<extra_id_1>")
    config = names.OmniASRConfig(
        audio_config={
            "hidden_size": 16,
            "conv_dim": [8, 8, 8],
            "conv_kernel": [10, 8, 8],
            "conv_stride": [5, 8, 8],
            "num_attention_heads": 2,
            "num_hidden_layers": 1,
            "num_conv_pos_embeddings": 4,
            "num_conv_pos_embedding_groups": 2,
            "intermediate_size": 32,
            "initializer_range": STANDARD,
        },
        text_config=text_config("llama", tokenizer),
        audio_token_id=tokenizer.convert_tokens_to_ids("<extra_id_1>"),
        bos_token_id=1,
        pad_token_id=0,
        eos_token_id=2,
        initializer_range=STANDARD,
    )
    processor = names.OmniASRProcessor(
        names.OmniASRFeatureExtractor(),
        tokenizer,
        chat_template=CHATML.replace("AUDIO", "<extra_id_1>"),
    )
    return save_folder(folder, names.OmniASRForConditionalGeneration(config), processor)


def save_gemma_4(folder: Path) -> Path:
    """Gemma 4: a Conformer, windows, embeddings for each layer."""
    names = library()
    tokenizer = make_tokenizer(
        image_token="<|image|>",
        boi_token="<|image>",
        eoi_token="<image|>",
        audio_token="<|audio|>",
        boa_token="<|audio>",
        eoa_token="<audio|>",
    )
    ids = tokenizer.convert_tokens_to_ids
    text = text_config("gemma4_text", tokenizer)
    text |= {
        "vocab_size_per_layer_input": len(tokenizer),
        "hidden_size_per_layer_input": 8,
        "layer_types": ["sliding_attention", "full_attention"],
        "sliding_window": 16,
    }
    config = names.Gemma4Config(
        text_config=text,
        audio_config={
            "hidden_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "subsampling_conv_channels": [128, 4],
            "output_proj_dims": 16,
            "initializer_range": STANDARD,
        },
        vision_config={
            "hidden_size": 16,
            "intermediate_size": 32,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "num_key_value_heads": 2,
            "head_dim": 8,
            "position_embedding_size": 16,
        },
        image_token_id=ids("<|image|>"),
        boi_token_id=ids("<|image>"),
        eoi_token_id=ids("<image|>"),
        audio_token_id=ids("<|audio|>"),
        boa_token_id=ids("<|audio>"),
        eoa_token_index=ids("<audio|>"),
        tie_word_embeddings=False,
    )
    processor = names.Gemma4Processor(
        names.Gemma4AudioFeatureExtractor(),
        names.Gemma4ImageProcessor(),
        tokenizer,
        names.Gemma4VideoProcessor(),
        chat_template=CHATML.replace("AUDIO", "<|audio|>"),
    )
    return save_folder(folder, names.Gemma4ForConditionalGeneration(config), processor)


FAMILIES: dict[str, Callable[[Path], Path]] = {
    "voxtral": save_voxtral,
    "qwen3_asr": save_qwen3_asr,
    "fun_asr_nano": save_fun_asr_nano,
    "moss_transcribe_diarize": save_moss,
    "vibevoice_asr": save_vibevoice_asr,
    "omniasr": save_omni_asr,
    "gemma4": save_gemma_4,
}
