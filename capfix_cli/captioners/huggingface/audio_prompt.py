"""Audio and a prompt as a model's own processor and chat template put them together."""

from __future__ import annotations

import base64
import inspect
import io
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from capfix_cli.core.errors import CapfixError

# What a captioner is asked where nobody says it: the task in the words of AudioCaps and Clotho.
PROMPT = "Describe the sound in one sentence."
# What published models are asked in their own documentation, to be tried in its place.
PROMPTS = (
    PROMPT,
    "Generate the caption in English:",
    "Describe the audio.",
    "What do you hear?",
    "What's that sound?",
)
# How processors of transformers call what stands for a clip in a text.
_PLACEHOLDERS = ("audio_token", "audio_placeholder_token")


class AudioPrompt:
    """Turns clips into what a model takes: token ids with a place for the audio, and its features.

    How a template takes audio is tried, not known by name: as a part of the message of its own, as
    its placeholder within the words, or with the audio itself.

    Args:
        processor: of transformers, with a tokenizer and a feature extractor.
        prompt: the words beside the audio; with the placeholder in it, the place is as given.
        path: of the folder, for messages.

    Raises:
        CapfixError: the template does not place audio, or there is none; the message says which.
    """

    def __init__(self, processor: Any, prompt: str, path: str) -> None:
        self.processor, self.prompt, self.path = processor, prompt, path
        self.tokenizer = processor.tokenizer
        # What is said comes last, whatever the lengths: as every example of decoding in batches.
        self.tokenizer.padding_side = "left"
        self.extractor = extractor_of(processor)
        self.sample_rate = _rate(self.extractor, path)
        self.placeholder = next(
            (str(t) for n in _PLACEHOLDERS if (t := getattr(processor, n, None)) is not None), None
        )
        self.takes_audio = "audio" in inspect.signature(processor.__call__).parameters
        self.text = self._find_text() if self.takes_audio else None

    def __call__(self, waveforms: Tensor, lengths: Tensor) -> dict[str, Tensor]:
        """Waveforms [B, samples], lengths [B] -> the model's inputs by name, ids padded left."""
        clips = [
            row[:length].numpy().astype(np.float32)
            for row, length in zip(waveforms.cpu(), lengths.tolist(), strict=True)
        ]
        try:
            found = self._with_audio(clips) if self.text is None else self._with_text(clips)
        except (ImportError, TypeError, ValueError, AttributeError, KeyError) as error:
            raise CapfixError(
                f"The processor of {self.path} does not take audio and a prompt: {_line(error)}.",
                "Copy its files again, or give another --prompt.",
            ) from error
        return {name: part for name, part in found.items() if isinstance(part, Tensor)}

    def _with_text(self, clips: Sequence[np.ndarray]) -> Any:
        assert self.text is not None
        # Of the texts alone: how audio is padded, the processor knows best.
        options: dict[str, Any] = {"return_tensors": "pt", "text_kwargs": {"padding": True}}
        begin = getattr(self.tokenizer, "bos_token", None)
        if begin and self.text.startswith(begin):
            # As apply_chat_template does: it has them.
            options["text_kwargs"]["add_special_tokens"] = False
        texts = [self.text] * len(clips)
        try:
            return self.processor(
                text=texts, audio=list(clips), sampling_rate=self.sample_rate, **options
            )
        except TypeError as error:  # Granite's processor takes no sampling rate
            if "sampling_rate" not in str(error):
                raise
            return self.processor(text=texts, audio=list(clips), **options)

    def _with_audio(self, clips: Sequence[np.ndarray]) -> Any:
        """Hand the audio itself to the template, as Mistral's tokenizers want it."""
        chats = [
            [
                {
                    "role": "user",
                    "content": [
                        {"type": "audio", "base64": _wav(clip, self.sample_rate)},
                        {"type": "text", "text": self.prompt},
                    ],
                }
            ]
            for clip in clips
        ]
        return self.processor.apply_chat_template(chats, tokenize=True, return_dict=True)

    def _find_text(self) -> str:
        """Write the prompt by the template, with one placeholder for the audio."""
        token = self.placeholder
        if token is None:
            raise CapfixError(
                f"The processor of {self.path} is a {type(self.processor).__name__}, which names no"
                " token that stands for audio.",
                "Give the processor files of an audio language model.",
            )
        has_template = bool(
            getattr(self.processor, "chat_template", None)
            or getattr(self.tokenizer, "chat_template", None)
        )
        if not has_template:
            if token not in self.prompt:
                raise CapfixError(
                    f"{self.path} has no chat template, and the prompt does not say where the audio"
                    " goes.",
                    f"Put {token} into it: --prompt '{token} {self.prompt}', or copy the"
                    " folder's chat_template file.",
                )
            return self.prompt
        parts = [{"type": "audio", "audio": ""}, {"type": "text", "text": self.prompt}]
        ways: list[Any] = [parts, f"{token}{self.prompt}"]
        if token in self.prompt:
            ways = [self.prompt, [{"type": "text", "text": self.prompt}]]
        why = ""
        for content in ways:
            try:
                text = self._templated(content)
            except Exception as error:  # templates raise whatever they like
                why = why or f": {_line(error)}"
                continue
            if text.count(token) == 1:
                return text
        raise CapfixError(
            f"The chat template of {self.path} leaves no place for the audio ({token}){why}.",
            f"Say where it goes: --prompt '{token} …', or copy the model's own chat template.",
        )

    def _templated(self, content: Any) -> str:
        message = [{"role": "user", "content": content}]
        holder = self.processor
        if not getattr(holder, "chat_template", None):
            holder = self.tokenizer
        text: str = holder.apply_chat_template(message, tokenize=False, add_generation_prompt=True)
        return text


def extractor_of(processor: Any) -> Any:
    """Find the part of a processor that hears; None where there is none."""
    for name in ("feature_extractor", "audio_processor"):
        found = getattr(processor, name, None)
        if found is not None:
            return found
    return None


def _rate(extractor: Any, path: str) -> int:
    rate = getattr(extractor, "sampling_rate", None)
    if rate is None and extractor is not None:
        # Some keep it within the settings of their mel spectrogram.
        settings = getattr(extractor, "melspec_kwargs", None) or {}
        rate = settings.get("sample_rate")
    if type(rate) is not int or rate < 1:
        raise CapfixError(
            f"The processor of {path} names no sampling_rate: its audio part is a "
            f"{type(extractor).__name__}.",
            "Copy the preprocessor_config.json or processor_config.json of the model.",
        )
    return rate


def _wav(clip: np.ndarray, rate: int) -> str:
    import soundfile

    held = io.BytesIO()
    soundfile.write(held, clip, rate, format="WAV", subtype="FLOAT")
    return base64.b64encode(held.getvalue()).decode()


def _line(error: BaseException) -> str:
    text = re.sub(r"\s+", " ", str(error)).strip().rstrip(".")
    return text[:200] or type(error).__name__
