"""``decoding.search``: the distribution listens, and the search hides it."""

from __future__ import annotations

from capfix_cli.audio.clip_sample import ProbeFailed
from capfix_cli.core.thresholds import (
    DEAF_NATS,
    LISTENING_SHARE,
    SOUND_LISTENING,
    UNFITTED_DECODING,
)
from capfix_cli.diagnosis.causes.cause_spec import MODEL, CauseDocs, CauseSpec
from capfix_cli.diagnosis.causes.finding import (
    Finding,
    against_threshold,
    linear_confidence,
    not_tested,
)
from capfix_cli.diagnosis.diagnosis_context import DiagnosisContext
from capfix_cli.diagnosis.text.text_context import TextContext
from capfix_cli.schemas.diagnosis_record import Trial
from capfix_cli.schemas.measured_values import Evidence

ID = "decoding.search"
# A decoding that works explains every symptom in the model; what the training data are they are.
_SYMPTOMS = tuple(pattern for pattern in MODEL if pattern != "data.*")


def find(case: DiagnosisContext) -> Finding:
    """A decoding that works proves it; else the swap's KL beside captions that repeat."""
    evidence = []
    moved = None
    tried, best = len(case.trials.made), case.trials.best
    try:
        moved = case.probes.conditioning.overall
        evidence.append(
            against_threshold("how far another clip's memory moves the next word", moved, DEAF_NATS)
        )
    except ProbeFailed as reason:
        if best is None and not tried:
            return not_tested(ID, reason.needs)
    if best is not None:
        what = "decoding that made captions differ and follow the audio"
        evidence.append(Evidence(what, best.name, "", None, "trials"))
        told = _reached(case, best)
        evidence.append(told)
        return Finding(
            ID,
            0.9,
            tuple(evidence),
            mend=f"Decode with {best.name}",
            explains=_SYMPTOMS,
            # A search that hides what the scores know must have scores that know it.
            # What may as well be healthy has no cause to prove.
            proved=isinstance(told.value, float)
            and told.value >= SOUND_LISTENING.value
            and "healthy" not in case.decision.close_to,
            # A wrong front end leaves scores, too, of which other decodings make more.
            most=1.0 if case.input_fits else UNFITTED_DECODING.value,
        )
    evidence.append(Evidence("decodings tried, none of which works", float(tried), "decodings"))
    hidden = linear_confidence(moved or 0.0, 4 * DEAF_NATS.value, 20 * DEAF_NATS.value)
    heard = case.listening
    if heard is not None and heard.reference_bits is not None:
        needed = LISTENING_SHARE.value * heard.ceiling_bits
        needed_by = f"{LISTENING_SHARE.value:g} {LISTENING_SHARE.unit}: {LISTENING_SHARE.source}"
        evidence.append(
            Evidence("listening on references", heard.reference_bits, "bits", needed, needed_by)
        )
        evidence.append(
            Evidence("listening on own captions", heard.bits, "bits", needed, needed_by)
        )
        if heard.reference_bits >= needed > heard.bits:
            hidden = 1.0
    repeats = case.decision.verdict == "collapsed"
    return Finding(
        ID,
        0.7 * hidden if repeats and (not tried or hidden == 1.0) else 0.0,
        tuple(evidence),
    )


def from_text(case: TextContext) -> Finding:
    """A decoding that was asked for, and with which captions differ and follow the audio."""
    if not case.ill:
        return Finding(ID, 0.0, (Evidence("verdict", case.decision.verdict),))
    best = case.trials.best
    if best is None:
        tried = [trial for trial in case.trials.made if trial.outcome != "refused"]
        if not tried:
            return not_tested(ID, "next-word scores, or a captioner that takes a temperature")
        return Finding(
            ID, 0.0, (Evidence("decodings tried, none works", float(len(tried)), "decodings"),)
        )
    heard = best.listening
    share = 0.0 if heard is None else heard.own_share
    evidence = (
        Evidence(
            "decoding that made captions differ and follow the audio", best.name, "", None, "trials"
        ),
        against_threshold("listening with that decoding", share, SOUND_LISTENING),
    )
    proved = share >= SOUND_LISTENING.value and "healthy" not in case.decision.close_to
    mend = f"Decode with {best.name}"
    return Finding(ID, 0.9, evidence, mend=mend, explains=_SYMPTOMS, proved=proved)


def _reached(case: DiagnosisContext, best: Trial) -> Evidence:
    """How much the scores listen: to references, or without them to what the best trial said."""
    on_references = case.reference_listening_share
    if on_references is not None:
        return against_threshold("listening on references", on_references, SOUND_LISTENING)
    heard = best.listening
    share = 0.0 if heard is None else heard.own_share
    return against_threshold("listening with that decoding", share, SOUND_LISTENING)


CAUSE = CauseSpec(
    id=ID,
    order=90,
    find=find,
    from_text=from_text,
    needs=("conditioning",),
    mend="Decode otherwise: temperature 0.8 with top-p 0.9, or audio-contrastive decoding",
    docs=CauseDocs(
        symptom="greedy captions are the same, the distribution is not.",
        experiment="decodings are tried; listening on references against that on own captions.",
        read=(
            "before any trial the report foretells whether decoding can help (`prediction`), and "
            "says what came of it."
        ),
        mend="the decoding that worked.",
        sources="the document, category 1.",
    ),
)
