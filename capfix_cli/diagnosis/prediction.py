"""Whether decoding can help at all, told from the probes before any time is spent on it."""

from __future__ import annotations

from capfix_cli.audio.clip_sample import ProbeFailed
from capfix_cli.core.thresholds import HOPEFUL_NATS, LISTENING_SHARE
from capfix_cli.diagnosis.diagnosis_context import DiagnosisContext
from capfix_cli.schemas.diagnosis_record import Prediction


def predict(case: DiagnosisContext) -> Prediction | None:
    """Foretell: what the distribution does not hold, no way of decoding brings out.

    Returns:
        None where nothing can be said.
    """
    heard = case.listening
    if heard is not None and heard.reference_bits is not None:
        needed = LISTENING_SHARE.value * heard.ceiling_bits
        works = heard.reference_bits >= needed
        told = f"on references it listens {heard.reference_bits:.2f} bits, {needed:.2f} are needed"
        return Prediction(works, told)
    try:
        moved = case.probes.conditioning.overall
    except ProbeFailed:
        return None
    works = moved >= HOPEFUL_NATS.value
    return Prediction(
        works,
        f"another clip moves its next word by {moved:.2f} nats, {HOPEFUL_NATS.value:g} give hope",
    )
