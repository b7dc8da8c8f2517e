"""``capfix adapter check``: the contract clause by clause, and proof of whose captions it gives."""

from __future__ import annotations

from dataclasses import replace

from capfix_cli.audio.clip_set import ClipSource, open_clips
from capfix_cli.captioners.adapters import attribute_adapter_errors, installed
from capfix_cli.captioners.base import Captioner
from capfix_cli.captioners.contract.clauses import Clause
from capfix_cli.captioners.contract.contract_check import check_contract
from capfix_cli.captioners.derived.network_source import names_network
from capfix_cli.captioners.feature_captioner import (
    needs_features,
    over_features,
    over_synthetic,
)
from capfix_cli.captioners.loading import open_captioner
from capfix_cli.captions.reference_file import fit_references, read_references
from capfix_cli.core.progress import ProgressCallback, no_progress, tell
from capfix_cli.core.randomness import seeded
from capfix_cli.decoding.encode_pass import encode_and_caption
from capfix_cli.diagnosis.command_settings import Settings
from capfix_cli.diagnosis.identity import prove_identity
from capfix_cli.diagnosis.own_loss import compare_loss
from capfix_cli.features.feature_set import FeatureSet, open_features


def check_adapter(
    model: str,
    settings: Settings,
    progress: ProgressCallback = no_progress,
    *,
    audio: ClipSource | None = None,
    loss: str | None = None,
) -> list[Clause]:
    """Try a captioner clause by clause, and hold it against what the user's own code says.

    Args:
        model: the checkpoint, or the name that an adapter takes.
        settings: name the adapter or network, and the user's captions.
        progress: called as the work goes on.
        audio: clips that captions and loss are compared on; None to try the clauses alone.
        loss: what the user's training prints for ``settings.references``.

    Raises:
        CapfixError: something that was named cannot be used.
    """
    settings = _network_told_apart(settings)
    captioner = open_captioner(model, settings.adapter, settings.device, settings.model)
    with seeded(settings.seed), attribute_adapter_errors(settings.code):
        captioner, arrays = _over(captioner, settings, progress)
        clauses = check_contract(captioner)
        source = audio if arrays is None else arrays
        if source is None or not all(clause.kept for clause in clauses):
            return clauses
        clips = open_clips(source, progress)
        heard = encode_and_caption(
            captioner, clips, batch_size=settings.batch_size, seed=settings.seed, progress=progress
        )
        same = prove_identity(captioner, heard, settings, model, progress)
        if same is not None:
            clauses.append(Clause("captions", same.equal == same.compared, same.sentence))
        if loss is not None and settings.references is not None:
            texts = read_references(settings.references)
            fit = fit_references(texts, clips.names, settings.references)
            found = compare_loss(captioner, clips, fit.matched, loss, settings.batch_size)
            clauses.append(Clause("loss", found.same is not None, found.sentence))
    return clauses


def _network_told_apart(settings: Settings) -> Settings:
    """See whether what is named as an adapter is a network's class."""
    named = settings.adapter
    if named is None or not names_network(named, installed()):
        return settings
    return replace(settings, adapter=None, model=replace(settings.model, network=named))


def _over(
    captioner: Captioner, settings: Settings, progress: ProgressCallback
) -> tuple[Captioner, FeatureSet | None]:
    """Give a captioner features in place of audio: those given, or made up where it reads no other.

    Raises:
        CapfixError: it does not take them.
    """
    if settings.features:
        arrays = open_features(settings.features, settings.feature_field)
        tell(progress, f"{len(arrays)} clips of features, {arrays.described}")
        return over_features(captioner, arrays), arrays
    return (over_synthetic(captioner) if needs_features(captioner) else captioner), None
