"""Tiny audio language models with random weights, saved by transformers in their real format."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from benchmarks.zoo import audio_language_more as more_families
from benchmarks.zoo.audio_language_parts import (
    CHATML,
    STANDARD,
    library,
    make_tokenizer,
    save_folder,
    text_config,
    whisper_tower,
)


def save_qwen2_audio(folder: Path) -> Path:
    """Qwen2-Audio: Whisper's encoder, a projection, Qwen2."""
    names = library()
    tokenizer = make_tokenizer("<|AUDIO|>", "<|audio_bos|>", "<|audio_eos|>")
    config = names.Qwen2AudioConfig(
        audio_config=whisper_tower("qwen2_audio_encoder"),
        text_config=text_config("qwen2", tokenizer),
        audio_token_index=tokenizer.convert_tokens_to_ids("<|AUDIO|>"),
        audio_token_id=tokenizer.convert_tokens_to_ids("<|AUDIO|>"),
    )
    model = names.Qwen2AudioForConditionalGeneration(config)
    processor = names.Qwen2AudioProcessor(
        names.WhisperFeatureExtractor(feature_size=16),
        tokenizer,
        chat_template=CHATML.replace("AUDIO", "<|audio_bos|><|AUDIO|><|audio_eos|>"),
    )
    return save_folder(folder, model, processor)


def _flamingo(folder: Path, name: str, **more: Any) -> Path:
    names = library()
    tokenizer = make_tokenizer("<sound>", "<|sound_bos|>", "<|sound_eos|>")
    ids = tokenizer.convert_tokens_to_ids
    config = getattr(names, f"{name}Config")(
        audio_config=whisper_tower("audioflamingo3_encoder"),
        text_config=text_config("qwen2", tokenizer),
        audio_token_id=ids("<sound>"),
        **{key: ids(token) for key, token in more.items()},
    )
    model = getattr(names, f"{name}ForConditionalGeneration")(config)
    processor = getattr(names, f"{name}Processor")(
        names.WhisperFeatureExtractor(feature_size=16),
        tokenizer,
        chat_template=CHATML.replace("AUDIO", "<sound>"),
    )
    return save_folder(folder, model, processor)


def save_audio_flamingo_3(folder: Path) -> Path:
    """Audio Flamingo 3: windows of 30 s, a projection, Qwen2."""
    return _flamingo(folder, "AudioFlamingo3")


def save_music_flamingo(folder: Path) -> Path:
    """Music Flamingo: as Audio Flamingo 3, with rotary times in the audio."""
    return _flamingo(
        folder,
        "MusicFlamingo",
        audio_bos_token_id="<|sound_bos|>",
        audio_eos_token_id="<|sound_eos|>",
    )


def save_glm_asr(folder: Path) -> Path:
    """GLM-ASR: an encoder with rotary places, four frames to a token, Llama."""
    names = library()
    tokenizer = make_tokenizer("<|pad|>")
    config = names.GlmAsrConfig(
        audio_config={
            "model_type": "glmasr_encoder",
            "hidden_size": 16,
            "intermediate_size": 64,  # four frames joined: as wide as the projection takes
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "num_mel_bins": 16,
            "initializer_range": STANDARD,
        },
        text_config=text_config("llama", tokenizer),
        audio_token_id=tokenizer.convert_tokens_to_ids("<|pad|>"),
        tie_word_embeddings=False,
    )
    processor = names.GlmAsrProcessor(
        names.WhisperFeatureExtractor(feature_size=16),
        tokenizer,
        chat_template=CHATML.replace("AUDIO", "<|pad|>"),
    )
    return save_folder(folder, names.GlmAsrForConditionalGeneration(config), processor)


def _granite(folder: Path, name: str) -> Path:
    names = library()
    tokenizer = make_tokenizer("<|audio|>")
    config = getattr(names, f"{name}Config")(
        encoder_config={
            "input_dim": 160,
            "num_layers": 2,
            "hidden_dim": 16,
            "num_heads": 2,
            "output_dim": 8,
            "context_size": 20,
            "max_pos_emb": 32,
            "conv_kernel_size": 5,
        },
        projector_config={
            "model_type": "blip_2_qformer",
            "hidden_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "intermediate_size": 32,
            "encoder_hidden_size": 16,
            "cross_attention_frequency": 1,
            "initializer_range": STANDARD,
        },
        text_config=text_config("granite", tokenizer),
        audio_token_index=tokenizer.convert_tokens_to_ids("<|audio|>"),
        has_lora_adapter=False,
        tie_word_embeddings=False,
        initializer_range=STANDARD,
    )
    # Granite's template takes words alone: the placeholder stands among them.
    text = CHATML.split("{% if message['content'] is string %}", maxsplit=1)
    words = (
        text[0]
        + "{{ message['content'] }}<|im_end|> {% endfor %}"
        + CHATML.rsplit("{% endfor %}", maxsplit=1)[-1]
    )
    processor = names.GraniteSpeechProcessor(
        names.GraniteSpeechFeatureExtractor(), tokenizer, chat_template=words
    )
    model = getattr(names, f"{name}ForConditionalGeneration")(config)
    return save_folder(folder, model, processor)


def save_granite_speech(folder: Path) -> Path:
    """Granite Speech: a Conformer, a Q-Former, Granite."""
    return _granite(folder, "GraniteSpeech")


def save_granite_speech_plus(folder: Path) -> Path:
    """Granite Speech Plus: the same with hidden layers of the encoder joined."""
    return _granite(folder, "GraniteSpeechPlus")


def save_phi4_multimodal(folder: Path) -> Path:
    """Phi-4-multimodal: audio and images embedded within the decoder itself."""
    names = library()
    tokenizer = make_tokenizer(image_token="<|image|>", audio_token="<|audio|>")
    ids = tokenizer.convert_tokens_to_ids
    sizes = text_config("phi4_multimodal", tokenizer)
    for name in ("model_type", "head_dim"):
        sizes.pop(name)
    config = names.Phi4MultimodalConfig(
        **sizes,
        audio_config={
            "hidden_size": 16,
            "intermediate_size": 32,
            "num_blocks": 2,
            "num_attention_heads": 2,
            "ext_pw_out_channel": 16,
            "depthwise_separable_out_channel": 16,
            "nemo_conv_channels": 8,
            "input_size": 80,
            "initializer_range": STANDARD,
            "audio_token_id": ids("<|audio|>"),
        },
        vision_config={
            "hidden_size": 16,
            "intermediate_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": 16,
            "crop_size": 16,
            "image_token_id": ids("<|image|>"),
        },
    )
    processor = names.Phi4MultimodalProcessor(
        names.Phi4MultimodalImageProcessor(),
        names.Phi4MultimodalFeatureExtractor(),
        tokenizer,
        chat_template=CHATML.replace("AUDIO", "<|audio|>"),
    )
    return save_folder(folder, names.Phi4MultimodalForCausalLM(config), processor)


OMNI = {
    "image_token": "<|IMAGE|>",
    "audio_token": "<|AUDIO|>",
    "video_token": "<|VIDEO|>",
    "vision_bos_token": "<|vision_bos|>",
    "vision_eos_token": "<|vision_eos|>",
    "audio_bos_token": "<|audio_bos|>",
    "audio_eos_token": "<|audio_eos|>",
}


def _omni(folder: Path, name: str, tokenizer: Any, *, audio: Any, vision: Any, text: Any) -> Path:
    names = library()
    ids = tokenizer.convert_tokens_to_ids
    kind = getattr(names, f"{name}ThinkerForConditionalGeneration")
    suffix = "id" if name.startswith("Qwen3") else "index"
    config = kind.config_class(
        audio_config=audio,
        vision_config=vision,
        text_config=text,
        **{
            f"{what}_token_{suffix}": ids(f"<|{what.upper()}|>")
            for what in ("audio", "image", "video")
        },
        audio_start_token_id=ids("<|audio_bos|>"),
        audio_end_token_id=ids("<|audio_eos|>"),
        user_token_id=ids("user"),
        vision_start_token_id=ids("<|vision_bos|>"),
        vision_end_token_id=ids("<|vision_eos|>"),
        initializer_range=STANDARD,
    )
    processor = getattr(names, f"{name}Processor")(
        names.Qwen2VLImageProcessor(),
        names.Qwen2VLVideoProcessor(),
        names.WhisperFeatureExtractor(feature_size=16),
        tokenizer,
        chat_template=CHATML.replace("AUDIO", "<|audio_bos|><|AUDIO|><|audio_eos|>"),
    )
    return save_folder(folder, kind(config), processor)


def save_qwen2_5_omni(folder: Path) -> Path:
    """Qwen2.5-Omni's thinker: places in three axes."""
    tokenizer = make_tokenizer(**OMNI)
    text = text_config("qwen2_5_omni_text", tokenizer)
    text["rope_parameters"] = {
        "rope_type": "default",
        "mrope_section": [2, 1, 1],
        "rope_theta": 1e4,
    }
    return _omni(
        folder,
        "Qwen2_5Omni",
        tokenizer,
        audio=whisper_tower("qwen2_5_omni_audio_encoder", n_window=50, output_dim=32),
        vision={"depth": 1, "hidden_size": 16, "intermediate_size": 32, "num_heads": 2}
        | {"out_hidden_size": 32, "fullatt_block_indexes": [0]},
        text=text,
    )


def save_qwen3_omni(folder: Path) -> Path:
    """Qwen3-Omni's thinker: experts, places in three axes."""
    tokenizer = make_tokenizer(**OMNI)
    text = text_config("qwen3_omni_moe_text", tokenizer)
    text["rope_parameters"] = {
        "rope_type": "default",
        "mrope_section": [2, 1, 1],
        "rope_theta": 1e4,
    }
    text |= {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
    return _omni(
        folder,
        "Qwen3OmniMoe",
        tokenizer,
        audio=whisper_tower(
            "qwen3_omni_moe_audio_encoder", n_window=50, output_dim=32, downsample_hidden_size=8
        ),
        vision={"depth": 1, "hidden_size": 16, "intermediate_size": 32, "num_heads": 2}
        | {"out_hidden_size": 32, "deepstack_visual_indexes": [0]},
        text=text,
    )


def save_gemma_3n(folder: Path) -> Path:
    """Gemma 3n: embeddings for each layer, keys shared among layers, windows."""
    names = library()
    tokenizer = make_tokenizer(
        image_token="<image_soft_token>",
        boi_token="<start_of_image>",
        eoi_token="<end_of_image>",
        audio_token="<audio_soft_token>",
        boa_token="<start_of_audio>",
        eoa_token="<end_of_audio>",
    )
    ids = tokenizer.convert_tokens_to_ids
    size = len(tokenizer)
    text = text_config("gemma3n_text", tokenizer, num_hidden_layers=4, num_kv_shared_layers=2)
    text |= {
        "vocab_size": size + 256,
        "vocab_size_per_layer_input": size,
        "hidden_size_per_layer_input": 8,
        "layer_types": ["sliding_attention", "full_attention"] * 2,
        "sliding_window": 16,
        "laurel_rank": 4,
        "altup_num_inputs": 2,
        "tie_word_embeddings": True,
    }
    config = names.Gemma3nConfig(
        text_config=text,
        audio_config={
            "hidden_size": 16,
            "conf_num_attention_heads": 2,
            "conf_num_hidden_layers": 1,
            "sscp_conv_channel_size": [8, 4],
            "vocab_offset": size + 128,
            "initializer_range": STANDARD,
        },
        vision_config={"architecture": "mobilenetv3_small_050", "hidden_size": 32}
        | {"vocab_offset": size, "num_classes": 2},
        image_token_id=ids("<image_soft_token>"),
        boi_token_id=ids("<start_of_image>"),
        eoi_token_id=ids("<end_of_image>"),
        audio_token_id=ids("<audio_soft_token>"),
        boa_token_id=ids("<start_of_audio>"),
        eoa_token_id=ids("<end_of_audio>"),
        initializer_range=STANDARD,
    )
    processor = names.Gemma3nProcessor(
        names.Gemma3nAudioFeatureExtractor(),
        names.SiglipImageProcessor(),
        tokenizer,
        chat_template=CHATML.replace("AUDIO", "<audio_soft_token>"),
    )
    return save_folder(folder, names.Gemma3nForConditionalGeneration(config), processor)


FAMILIES: dict[str, Callable[[Path], Path]] = {
    "qwen2_audio": save_qwen2_audio,
    "audioflamingo3": save_audio_flamingo_3,
    "musicflamingo": save_music_flamingo,
    "glmasr": save_glm_asr,
    "granite_speech": save_granite_speech,
    "granite_speech_plus": save_granite_speech_plus,
    "phi4_multimodal": save_phi4_multimodal,
    "qwen2_5_omni": save_qwen2_5_omni,
    "qwen3_omni_moe": save_qwen3_omni,
    "gemma3n": save_gemma_3n,
    **more_families.FAMILIES,
}


def save(family: str, folder: Path, seed: int = 0) -> Path:
    """Save one of a family."""
    torch.manual_seed(seed)
    return FAMILIES[family](folder)
