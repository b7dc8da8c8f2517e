"""Why a captioner fails, as far as a first set of evidence tells."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from capfix_cli.records import Cause, Evidence, Verdict


def find_causes(
    verdict: Verdict, facts: Mapping[str, Any], rescued_by: str | None
) -> tuple[Cause, ...]:
    """List the causes that the facts and the trials support, the likeliest first.

    Args:
        verdict: of greedy decoding.
        facts: read from the checkpoint.
        rescued_by: the decoding that made it healthy, if one did: then the distribution listens
            and the search hid it.
    """
    if verdict == "healthy":
        return ()
    if rescued_by is not None:
        evidence = Evidence(
            "decoding that made captions differ and follow the audio", rescued_by, None, "trials"
        )
        return (Cause("decoding.search", "decoding", 0.9, (evidence,)),)
    if verdict == "generic":
        return ()
    found = []
    # Half sure: what the architecture allows to go wrong is not yet what did; the control run
    # beside a recipe decides it.
    if facts.get("encoder.pooling") == "time":
        found.append(_by_design("encoder.time-pooling", "encoder.pooling", "time", "2.1"))
    if facts.get("conditioning") == "initial-state":
        found.append(
            _by_design("conditioning.first-step-only", "conditioning", "initial-state", "2.2")
        )
    return tuple(found)


def _by_design(cause: str, fact: str, value: str, fix: str) -> Cause:
    evidence = Evidence(f"{fact} in the checkpoint's config", value, None, f"the document, {fix}")
    return Cause(cause, cause.partition(".")[0], 0.5, (evidence,))
