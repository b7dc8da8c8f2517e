"""JSON over HTTP to one address and nowhere else: no redirects, no proxies, a limit in time."""

from __future__ import annotations

import contextlib
import http.client
import json
import math
import socket
import ssl
import threading
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, urlsplit

from capfix_cli.captioners.text.text_captioner import CallFailed
from capfix_cli.core.errors import CapfixError

MOST_BYTES = 4_000_000  # of an answer: a caption is under a thousand
SHOWN = 160  # characters of what an endpoint complains of
BUSY = {408, 429, 500, 502, 503, 504, 529}  # statuses of which the same call may well recover
AGAIN_HINT = "Ask less at once: --concurrency 1, --requests-per-minute 20."


@dataclass(frozen=True)
class Address:
    """Where calls go.

    Attributes:
        secure: whether over TLS.
        host: its name.
        port: its port; None for the usual one.
        path: before the API's own paths, without a slash at its end.
        query: of the URL, with its question mark; may be empty.
    """

    secure: bool
    host: str
    port: int | None
    path: str
    query: str = ""

    @property
    def shown(self) -> str:
        """The address without its query, which may hold a secret."""
        port = f":{self.port}" if self.port else ""
        return f"http{'s' * self.secure}://{self.host}{port}{self.path}"


def read_address(url: str) -> Address:
    """Read the URL of an API.

    Raises:
        CapfixError: it is none, or holds a password.
    """
    try:
        parts: SplitResult = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise CapfixError(f"--endpoint {url} is no URL: {error}.", _EXAMPLE) from error
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise CapfixError(f"--endpoint {url} is no URL of http or https.", _EXAMPLE)
    if parts.username or parts.password:
        raise CapfixError(
            "--endpoint holds a name or password, which would be kept with the run.",
            "Put the key into an environment variable and name it with --api-key-env.",
        )
    path = parts.path.rstrip("/").removesuffix("/chat/completions")
    query = f"?{parts.query}" if parts.query else ""
    return Address(parts.scheme == "https", parts.hostname, port, path, query)


_EXAMPLE = "For example: --endpoint http://localhost:8000/v1"


def call_json(
    address: Address,
    path: str,
    body: dict[str, Any] | None,
    *,
    key: str | None = None,
    timeout: float,
) -> dict[str, Any]:
    """Make one request and give the object that it is answered with.

    Args:
        address: where.
        path: below its own, such as ``/models``.
        body: posted as JSON; None gets.
        key: sent as a bearer's token.
        timeout: seconds for the whole of it, however slowly bytes come.

    Raises:
        CallFailed: it gave no such answer.
        CapfixError: it never will.
    """
    status, headers, data = _exchange(address, path, body, key, timeout)
    text = data.decode("utf-8", "replace")
    if 300 <= status < 400:
        raise CapfixError(
            f"{address.shown} sends on to {headers.get('location', 'another address')}, where"
            " nothing is sent.",
            "Give that address as --endpoint if it is to be trusted with the audio.",
        )
    try:
        answer = json.loads(text)
    except (ValueError, RecursionError):
        answer = None
    if status >= 400:
        raise _refused(address, status, headers, answer, text)
    if not isinstance(answer, dict):
        kind = "a web page" if "<html" in text[:2_000].lower() else f"{text[:40]!r}"
        raise CapfixError(
            f"{address.shown}{path} answers {kind}, not a JSON object.",
            "Give the API's address, which usually ends in /v1.",
        )
    return answer


def _exchange(
    address: Address, path: str, body: dict[str, Any] | None, key: str | None, timeout: float
) -> tuple[int, dict[str, str], bytes]:
    """Send and receive, within the time.

    Raises:
        CallFailed: no whole answer came.
    """
    kind = http.client.HTTPSConnection if address.secure else http.client.HTTPConnection
    # http.client knows neither proxies of the environment nor redirects: what is sent goes here.
    connection = kind(address.host, address.port, timeout=timeout)
    late = threading.Event()

    def end() -> None:
        late.set()
        with contextlib.suppress(OSError, AttributeError):
            connection.sock.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(timeout, end)
    timer.daemon = True
    timer.start()
    try:
        headers = {"Accept": "application/json", "User-Agent": "capfix"}
        if key:
            headers["Authorization"] = f"Bearer {key}"
        payload = None
        if body is not None:
            payload = json.dumps(body).encode()
            headers["Content-Type"] = "application/json"
        method = "GET" if body is None else "POST"
        connection.request(method, f"{address.path}{path}{address.query}", payload, headers)
        response = connection.getresponse()
        data = response.read(MOST_BYTES + 1)
        found = {name.lower(): value for name, value in response.getheaders()}
    except (OSError, http.client.HTTPException) as error:
        raise _no_answer(address, error, timeout, late=late.is_set()) from error
    finally:
        timer.cancel()
        connection.close()
    if late.is_set():
        raise _no_answer(address, None, timeout, late=True)
    if len(data) > MOST_BYTES:
        raise CapfixError(
            f"{address.shown} answers with over {MOST_BYTES // 1_000_000} MB.",
            "Is it the address of a chat API? It usually ends in /v1.",
        )
    return response.status, found, data


def _no_answer(
    address: Address, error: Exception | None, timeout: float, *, late: bool
) -> CallFailed:
    where = address.shown
    if late or isinstance(error, TimeoutError):
        return CallFailed(
            f"{where} gave no answer in {timeout:g} s.",
            "Allow more with --call-timeout SECONDS, or ask less at once with --concurrency 1.",
            again=True,
            slow=True,
        )
    if isinstance(error, ConnectionRefusedError):
        return CallFailed(
            f"Nothing listens at {where}.",
            "Start the server, or correct --endpoint.",
            again=True,
        )
    if isinstance(error, socket.gaierror):
        return CallFailed(f"There is no host {address.host}.", "Correct --endpoint.")
    if isinstance(error, ssl.SSLError):
        return CallFailed(
            f"{where} cannot be reached securely: {error.reason or error}.",
            "Correct --endpoint: a server without TLS has http:// before its name.",
        )
    text = str(error) or type(error).__name__
    return CallFailed(
        f"{where} broke off: {text[:SHOWN].rstrip('.')}.", "See its own log.", again=True
    )


def _refused(
    address: Address, status: int, headers: dict[str, str], answer: Any, text: str
) -> CallFailed | CapfixError:
    told = _complaint(answer, text)
    where = f"{address.shown} answers {status}{told}."
    if status in {401, 403}:
        return CapfixError(where, "Put the key into CAPFIX_API_KEY, or name it: --api-key-env.")
    if status in {404, 405}:
        return CapfixError(
            where, "Check --endpoint (it usually ends in /v1) and --endpoint-model NAME."
        )
    if status in BUSY:
        return CallFailed(where, AGAIN_HINT, again=True, busy=True, after=_wait(headers))
    hint = "Its message says what it does not take; --prompt and --endpoint-model change it."
    return CallFailed(where, hint)


def _wait(headers: dict[str, str]) -> float | None:
    """Seconds of ``Retry-After``; None where it is a date or nothing."""
    try:
        seconds = float(headers.get("retry-after", "nan"))
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None


def _complaint(answer: Any, text: str) -> str:
    """Take the message out of an error: OpenAI's form, FastAPI's, or plain text."""
    found = answer
    for key in ("error", "message", "detail", "msg"):
        if isinstance(found, list) and found:
            found = found[0]
        if isinstance(found, dict) and key in found:
            found = found[key]
    if not isinstance(found, str):
        found = "" if "<html" in text.lower() else text
    shown = " ".join(found.split())[:SHOWN].rstrip(".")
    return f": {shown}" if shown else ""
