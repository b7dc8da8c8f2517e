"""Where captions come from when a captioner gives text alone, and how it may be asked."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

KEY_VARIABLE = "CAPFIX_API_KEY"
SAMPLE_RATE = 16_000  # Hz that speech and sound encoders of language models take


@dataclass(frozen=True, kw_only=True)
class TextSource:
    """A captioner that gives text alone: one of function, command and endpoint.

    Attributes:
        function: ``MODULE:NAME`` or ``FILE.py:NAME``; None for the others.
        command: a command line with ``{audio}`` or ``{list}`` in it, likewise.
        endpoint: URL of an OpenAI-compatible API, likewise.
        endpoint_model: the model's name there; None asks the endpoint, where it has but one.
        api_key_env: the environment variable that holds the API's key; the key itself is kept
            nowhere.
        sample_rate: Hz of the audio that a function of waveforms or an endpoint is given.
        requests_per_minute: most calls in a minute; None is as fast as answers come.
        concurrency: most calls at once; None is one, and four of an endpoint.
        call_timeout: seconds that a call may take.
        total_timeout: seconds that all calls may take; None is no limit.
        fresh: ask anew what an earlier run was told already.
    """

    function: str | None = None
    command: str | None = None
    endpoint: str | None = None
    endpoint_model: str | None = None
    api_key_env: str = KEY_VARIABLE
    sample_rate: int = SAMPLE_RATE
    requests_per_minute: float | None = None
    concurrency: int | None = None
    call_timeout: float = 120.0
    total_timeout: float | None = None
    fresh: bool = False

    @property
    def kind(self) -> str:
        """``function``, ``command`` or ``endpoint``."""
        names = ("function", "command", "endpoint")
        return next(name for name in names if getattr(self, name) is not None)

    @property
    def told(self) -> str:
        """What is asked, as the report names it; nothing secret of a URL is in it.

        >>> TextSource(endpoint="http://localhost:8000/v1?token=x", endpoint_model="q").told
        'q at http://localhost:8000/v1'
        """
        if self.endpoint is None:
            return str(self.function or self.command)
        parts = urlsplit(self.endpoint)
        place = f"{parts.scheme}://{parts.hostname}"
        place += f":{parts.port}" if parts.port else ""
        place += parts.path.rstrip("/")
        return f"{self.endpoint_model} at {place}" if self.endpoint_model else place
