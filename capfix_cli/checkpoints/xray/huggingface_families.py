"""What a Hugging Face folder's config.json says that the model is, read without transformers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

from capfix_cli.schemas.inspection_record import Fact

Role = Literal["decoder-only", "text-only", "encoder-only", "encoder-decoder", "audio-language"]

# model_type of models that continue a text, by their first words: gpt2, gpt_neox, llama, qwen2_moe.
_DECODERS = re.compile(
    r"^(gpt\w*|gpt-sw3|openai-gpt|llama\w*|opt|bloom|falcon\w*|mistral|ministral\w*|mixtral|gemma\d*"
    r"(_text)?|phi\d?|phimoe|qwen[23]\w*|mpt|mamba\d?|rwkv|xglm|codegen|ctrl|biogpt|stablelm"
    r"|starcoder\d|olmo\w*|persimmon|cohere\d?|dbrx|deepseek_v\d+|glm\d?\w*|granite(moe\w*)?"
    r"|smollm\d|jamba|nemotron|recurrent_gemma|xlnet|transfo-xl|trocr|internlm\d?|baichuan|exaone\d?"
    r"|apertus|arcee|bitnet|helium|minicpm\d?|zamba\d?)$"
)
_SPEECH = re.compile(
    r"^(whisper|speech-encoder-decoder|speech_to_text|speecht5|moonshine\w*|seamless_m4t(_v2)?)$"
)
# Language models that take audio among their tokens, by their names where no part of the config
# tells: qwen2_audio, granite_speech.
_AUDIO = re.compile(r"audio|speech|asr|omni|voxtral")
_TEXT = re.compile(
    r"^(bart|mbart|t5|mt5|umt5|longt5|switch_transformers|pegasus(_x)?|marian|m2m_100|led|fsmt"
    r"|blenderbot(-small)?|prophetnet|encoder-decoder|t5gemma\d?|plbart|mvp|nllb-moe"
    r"|bigbird_pegasus)$"
)
_ENCODERS = re.compile(
    r"^(bert|roberta|xlm-roberta|albert|distilbert|electra|deberta(-v2)?|modernbert|mpnet|camembert"
    r"|audio-spectrogram-transformer|wav2vec2(-bert|-conformer)?|hubert|wavlm|data2vec-audio"
    r"|unispeech(-sat)?|sew(-d)?|clap|vit|clip)$"
)
# Parts of a config that describe an encoder of sound, and the token that stands for it.
_EARS = (
    "audio_config",
    "encoder_config",
    "acoustic_tokenizer_encoder_config",
    "sound_config",
    "audio_tokenizer_config",
)
_PLACES = ("audio_token_id", "audio_token_index", "sound_token_id", "sound_context_token_id")
TO_DO: dict[Role, str] = {
    "decoder-only": "Give the whole captioner, or an adapter that joins encoder and decoder.",
    "text-only": "Give the whole captioner, or an adapter that puts audio features into it: "
    "capfix_cli.HuggingFaceCaptioner (docs/adapters.md).",
    "encoder-only": "Give the whole captioner, or an adapter that joins encoder and decoder.",
}
WHAT: dict[Role, str] = {
    "decoder-only": "a decoder alone: no audio can reach it",
    "text-only": "an encoder-decoder that reads text: no audio can reach it",
    "encoder-only": "an encoder alone: it says no words",
}


def role_of(config: Mapping[str, Any]) -> tuple[Role, str] | None:
    """Tell what a config describes, and by which of its values.

    ``architectures`` says it best; where a config lacks them, as those of bare configs do,
    ``model_type`` does. A bart that ``architectures`` calls ForCausalLM is its decoder alone.

    Returns:
        role and evidence; None where neither value is one that is known.
    """
    listed = config.get("architectures")
    named = [str(name) for name in listed] if isinstance(listed, list) else []
    kind = str(config.get("model_type") or "")
    hears = _hears(config)
    if hears is not None:
        return "audio-language", hears
    causal = [n for n in named if n.endswith(("ForCausalLM", "LMHeadModel"))]
    if causal and not _AUDIO.search(kind):
        return "decoder-only", f"architectures: {causal[0]}"
    told = f"model_type: {kind}"
    roles: list[tuple[Role, re.Pattern[str]]] = [
        ("encoder-decoder", _SPEECH),
        ("text-only", _TEXT),
        ("encoder-only", _ENCODERS),
    ]
    known = next((role for role, names in roles if names.match(kind)), None)
    if known is None and config.get("is_encoder_decoder") is True:
        known, told = "encoder-decoder", f"{told}, is_encoder_decoder"
    if known is None and _DECODERS.match(kind) and not _AUDIO.search(kind):
        known = "decoder-only"
    return None if known is None else (known, told)


def _hears(config: Mapping[str, Any]) -> str | None:
    """Say by which of its parts a config describes a language model that takes audio."""
    thinker = config.get("thinker_config")
    if isinstance(thinker, dict):
        return "thinker_config: an omni model, of which the thinker says words"
    encoder = next((n for n in _EARS if isinstance(config.get(n), dict)), None)
    words = isinstance(config.get("text_config"), dict) or "vocab_size" in config
    if encoder is None or not words or config.get("is_encoder_decoder") is True:
        return None
    token = next((n for n in _PLACES if isinstance(config.get(n), int)), None)
    ears = config[encoder]
    token = token or next((f"{encoder}.{n}" for n in _PLACES if isinstance(ears.get(n), int)), None)
    return None if token is None else f"{encoder} beside a language model, {token}"


def family_facts(config: Mapping[str, Any] | None) -> dict[str, Fact]:
    """State ``model.role`` of a Hugging Face folder, with what to do where it cannot caption."""
    if not config or "model_type" not in config:
        return {}
    found = role_of(config)
    if found is None:
        why = f"config.json names a model_type that is not known here: {config['model_type']!s:.60}"
        return {"model.role": Fact(None, 0.0, (why,))}
    role, told = found
    more = (WHAT[role], TO_DO[role]) if role in WHAT else ()
    return {"model.role": Fact(role, 0.95, (f"{told} in config.json", *more))}
