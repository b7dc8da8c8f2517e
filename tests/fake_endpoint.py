"""A chat API on this machine that takes audio and answers as a test tells it to."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import soundfile

Samples = Any
Told = Callable[[Samples, dict[str, Any]], Any]  # waveform and request -> text or whole answer


class FakeEndpoint:
    """What it was asked, and how it answers.

    Args:
        say: text of a waveform; or a dict, the whole answer; or bytes, the whole body.
        models: names that it lists.
        statuses: of the first chat requests, in order; 200 after them.
        refuses: a parameter that it answers 400 to.
        stalls: seconds that it waits before it answers.
    """

    def __init__(self, say: Told, **choices: Any) -> None:
        self.say = say
        self.models = choices.get("models", ["fake-audio"])
        self.statuses = list(choices.get("statuses", ()))
        self.refuses = choices.get("refuses")
        self.stalls = choices.get("stalls", 0.0)
        self.redirect = choices.get("redirect")
        self.retry_after = choices.get("retry_after")
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.url = ""
        self.lock = threading.Lock()

    @contextlib.contextmanager
    def serve(self) -> Iterator[FakeEndpoint]:
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *args: Any) -> None:
                pass

            def do_GET(self) -> None:
                rows = [{"id": name, "owned_by": "vllm"} for name in owner.models]
                self._send(200, {"object": "list", "data": rows})

            def do_POST(self) -> None:
                size = int(self.headers["Content-Length"])
                body = json.loads(self.rfile.read(size))
                with owner.lock:
                    owner.requests.append(body)
                    owner.headers.append(dict(self.headers))
                    status = owner.statuses.pop(0) if owner.statuses else 200
                if owner.stalls:
                    time.sleep(owner.stalls)
                if owner.redirect:
                    self._send(307, {}, {"Location": owner.redirect})
                elif status != 200:
                    extra = {"Retry-After": owner.retry_after} if owner.retry_after else {}
                    self._send(status, {"error": {"message": f"status {status}"}}, extra)
                elif owner.refuses and owner.refuses in body:
                    told = {"error": {"message": f"Unsupported parameter: '{owner.refuses}'"}}
                    self._send(400, told)
                else:
                    self._send(200, owner.answer(body))

            def _send(self, status: int, answer: Any, extra: dict[str, str] | None = None) -> None:
                data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
                with contextlib.suppress(OSError):  # whoever asked may have gone
                    self.send_response(status)
                    self.send_header("Content-Length", str(len(data)))
                    for name, value in (extra or {}).items():
                        self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(data)

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        self.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()
            thread.join()

    def answer(self, body: dict[str, Any]) -> Any:
        """What it says of the audio of a request."""
        said = self.say(heard(body), body)
        if not isinstance(said, str):
            return said
        message = {"role": "assistant", "content": said}
        choice: dict[str, Any] = {"index": 0, "message": message, "finish_reason": "stop"}
        if body.get("logprobs"):
            words = [{"token": word, "logprob": -0.5} for word in said.split()]
            choice["logprobs"] = {"content": words}
        return {"object": "chat.completion", "choices": [choice]}


def heard(body: dict[str, Any]) -> Samples:
    """The waveform in a request."""
    parts = body["messages"][0]["content"]
    audio = next(part["input_audio"] for part in parts if part["type"] == "input_audio")
    samples, _ = soundfile.read(io.BytesIO(base64.b64decode(audio["data"])), dtype="float32")
    return np.asarray(samples)


def prompt_of(body: dict[str, Any]) -> str:
    """What a request tells the model."""
    parts = body["messages"][0]["content"]
    return str(next(part["text"] for part in parts if part["type"] == "text"))
