"""``--endpoint URL``: an OpenAI-compatible chat API that takes audio, such as vLLM serves."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

from capfix_cli.captioners.text.http_post import Address, call_json, read_address
from capfix_cli.captioners.text.text_captioner import (
    CallFailed,
    GivenClip,
    TextAnswer,
    TextCaptioner,
    Wish,
)
from capfix_cli.core.errors import CapfixError

PROMPT = "Describe what can be heard in this audio clip in one short sentence."
MOST_TOKENS = 200  # a caption has 30 at most; a model that talks on is cut off there
# Options that the chat API has, and those that vLLM adds to it.
DECODING = frozenset(("do_sample", "temperature", "top_p", "max_new_tokens"))
EXTRA = frozenset(("top_k", "min_p", "repetition_penalty"))
# What may be left out where a server refuses it, and how its refusal names it.
OPTIONAL = ("logprobs", "temperature", "seed", "max_tokens")
_THOUGHT = re.compile(r"^\s*<think>.*?</think>\s*", re.DOTALL)


class EndpointCaptioner(TextCaptioner):
    """A model behind a chat API; each clip is one call, sent as WAV, 16 bits, mono.

    Args:
        url: of the API, such as ``http://localhost:8000/v1``.
        model: its name there; None asks the API, where it serves but one.
        key_variable: the environment variable that holds the key; it need not be set.
        sample_rate: Hz of what is sent.
        call_timeout: seconds that a call may take.

    Raises:
        CapfixError: the URL or the model's name cannot be used.
    """

    parallel = True
    takes_prompt = True
    keeps = True

    def __init__(
        self,
        url: str,
        *,
        model: str | None = None,
        key_variable: str = "CAPFIX_API_KEY",
        sample_rate: int = 16_000,
        call_timeout: float = 120.0,
    ) -> None:
        self.address: Address = read_address(url)
        self.key_variable = key_variable
        self.sample_rate = sample_rate
        self.call_timeout = call_timeout
        self.left_out: frozenset[str] = frozenset()  # parameters that the server refused
        self.sent = 0  # bytes of audio
        self.takes_decoding = DECODING
        self.model, served_by = self._find_model(model)
        if served_by == "vllm":
            self.takes_decoding = DECODING | EXTRA

    def _key(self) -> str | None:
        return (os.environ.get(self.key_variable) or "").strip() or None

    def _find_model(self, wanted: str | None) -> tuple[str, str]:
        """Ask the API which models it serves; give the name to use, and whose server it is."""
        try:
            answer = call_json(
                self.address, "/models", None, key=self._key(), timeout=self.call_timeout
            )
        except (CallFailed, CapfixError) as error:
            if wanted is not None and not (isinstance(error, CallFailed) and error.again):
                return wanted, ""  # not every server lists its models
            if isinstance(error, CapfixError):
                raise
            raise CapfixError(error.reason, error.hint) from error
        rows = answer.get("data")
        served = [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
        names = [str(row.get("id")) for row in served]
        if wanted is None and len(names) != 1:
            told = f"serves {len(names)} models" if names else "does not say which model it serves"
            some = f": {', '.join(names[:5])}{', ...' * (len(names) > 5)}" if names else ""
            raise CapfixError(
                f"{self.address.shown} {told}{some}.", "Name one with --endpoint-model NAME."
            )
        name = wanted if wanted is not None else names[0]
        owner = next((str(r.get("owned_by", "")) for r in served if r.get("id") == name), "")
        return name, owner

    def answer(self, clips: Sequence[GivenClip], wish: Wish) -> list[TextAnswer]:
        """Ask for the caption of one clip."""
        (clip,) = clips
        audio = clip.wav()
        body = self._body(audio, wish)
        while True:
            left_out = self.left_out
            sendable = {name: value for name, value in body.items() if name not in left_out}
            try:
                answer = call_json(
                    self.address,
                    "/chat/completions",
                    sendable,
                    key=self._key(),
                    timeout=self.call_timeout,
                )
            except CallFailed as error:
                refused = self._refused(error, sendable, wish)
                if refused is None:
                    raise
                self.left_out |= {refused}
                continue
            self.sent += len(audio)
            return [read_choice(answer, clip.name)]

    def _body(self, audio: bytes, wish: Wish) -> dict[str, Any]:
        """Make the request's body.

        The document's greedy decoding is temperature 0.
        """
        sound = {"data": base64.b64encode(audio).decode(), "format": "wav"}
        content = [
            {"type": "input_audio", "input_audio": sound},
            {"type": "text", "text": wish.prompt or PROMPT},
        ]
        asked = dict(wish.decoding)
        sampled = bool(asked.pop("do_sample", False))
        body: dict[str, Any] = {
            "model": self.model,
            "messages": [{"role": "user", "content": content}],
            "max_tokens": asked.pop("max_new_tokens", MOST_TOKENS),
            "temperature": asked.pop("temperature", 1.0) if sampled else 0,
            "logprobs": True,
        }
        if sampled:
            body["seed"] = wish.seed
        return body | asked

    def _refused(self, error: CallFailed, sent: Mapping[str, Any], wish: Wish) -> str | None:
        """Name a parameter that the server does not take and that nobody asked for."""
        if error.again:
            return None
        told = error.reason.lower()
        for name in OPTIONAL:
            wanted = name == "temperature" and bool(wish.decoding)
            if name in sent and name in told and not wanted:
                return name
        return None

    def identity(self) -> Mapping[str, Any]:
        """The API and the model's name there; of what stands behind it nothing is known."""
        return {"endpoint": self.address.shown, "model": self.model, "rate": self.sample_rate}


def read_choice(answer: Mapping[str, Any], clip: str) -> TextAnswer:
    """Take the caption out of a chat API's answer.

    Raises:
        CallFailed: it is no such answer.
    """
    choices = answer.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    message = first.get("message") if isinstance(first, Mapping) else None
    content = message.get("content") if isinstance(message, Mapping) else None
    if isinstance(content, list):  # parts, as some servers give them
        parts = [part.get("text", "") for part in content if isinstance(part, Mapping)]
        content = "".join(part for part in parts if isinstance(part, str))
    if not isinstance(content, str):
        what = "no choices" if not first else "a choice without text"
        if isinstance(answer.get("error"), dict | str):
            what = f"an error: {answer['error']!s:.120}"
        raise CallFailed(
            f"The endpoint answered {what} for {clip}.",
            "Is it a chat API (/chat/completions) with a model that takes audio?",
        )
    assert isinstance(first, Mapping)
    logprob, tokens = _logprob(first.get("logprobs"))
    reason = first.get("finish_reason")
    return TextAnswer(
        text=" ".join(_THOUGHT.sub("", content).split()),
        ended=None if reason is None else reason != "length",
        logprob=logprob,
        tokens=tokens,
    )


def _logprob(told: Any) -> tuple[float | None, int]:
    """Sum the log-probabilities of the tokens; None where they are not given."""
    rows = told.get("content") if isinstance(told, Mapping) else None
    if not isinstance(rows, list) or not rows:
        return None, 0
    values = [row.get("logprob") for row in rows if isinstance(row, Mapping)]
    numbers = [float(v) for v in values if isinstance(v, int | float) and v > -9_000]
    return (sum(numbers), len(numbers)) if len(numbers) == len(rows) else (None, 0)
