"""Ways of sampling that several decoding fixes try."""

from __future__ import annotations

from typing import Any

from capfix_cli.decoding.decoding_options import DecodingOptions


def sampling(temperature: float = 1.0, **more: Any) -> DecodingOptions:
    """Give the options of drawing words at a temperature, with others of ``DecodingOptions``."""
    return DecodingOptions(do_sample=True, temperature=temperature, **more)


NATURAL = sampling()  # the captioner's own distribution, as it is
