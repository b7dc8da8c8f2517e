"""From what the command line says to a captioner that gives text, and whoever asks it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from capfix_cli.captioners.text.asker import AT_ONCE, Asker, CallLimits
from capfix_cli.captioners.text.command_captioner import CommandCaptioner
from capfix_cli.captioners.text.endpoint_captioner import EndpointCaptioner
from capfix_cli.captioners.text.function_captioner import open_function
from capfix_cli.captioners.text.kept_answers import KeptAnswers
from capfix_cli.captioners.text.text_captioner import TextCaptioner, Wish
from capfix_cli.checkpoints.formats.file_stamp import stamp_of
from capfix_cli.checkpoints.model_options import ModelOptions
from capfix_cli.checkpoints.text_source import TextSource
from capfix_cli.core.errors import CapfixError
from capfix_cli.schemas.diagnosis_record import ModelSummary


def open_source(source: TextSource, model: str | None, batch_size: int) -> TextCaptioner:
    """Make the captioner that a source names; nothing is asked yet but an endpoint's models.

    Args:
        source: one of function, command and endpoint.
        model: a checkpoint that the person named beside it, or None.
        batch_size: most clips of a call, where a call takes several.

    Raises:
        CapfixError: it cannot be used; the message says why.
    """
    if source.function is not None:
        return open_function(
            source.function,
            sample_rate=source.sample_rate,
            clips_a_call=batch_size,
            call_timeout=source.call_timeout,
        )
    if source.command is not None:
        return CommandCaptioner(
            source.command,
            model=model,
            clips_a_call=batch_size,
            call_timeout=source.call_timeout,
        )
    assert source.endpoint is not None
    return EndpointCaptioner(
        source.endpoint,
        model=source.endpoint_model,
        key_variable=source.api_key_env,
        sample_rate=source.sample_rate,
        call_timeout=source.call_timeout,
    )


def open_asker(
    given: ModelOptions, model: str | TextCaptioner | None, batch_size: int, root: Path
) -> Asker:
    """Make what asks a captioner, within the limits that are set.

    Args:
        given: the options about the model; its ``source`` names the captioner.
        model: a checkpoint named beside it, or a captioner that needs no source.
        batch_size: most clips of a call.
        root: the folder whose ``.capfix`` keeps answers.

    Raises:
        CapfixError: the captioner cannot be used, or takes no prompt.
    """
    if isinstance(model, TextCaptioner):
        return Asker(model)
    source = given.source
    assert source is not None
    if given.sample_rate is not None:
        source = replace(source, sample_rate=given.sample_rate)
    captioner = open_source(source, model, batch_size)
    if given.prompt is not None and not captioner.takes_prompt:
        needs = "a parameter `prompt`" if source.function else "{prompt} in it"
        raise CapfixError(
            f"--prompt does nothing: the {source.kind} {source.told} takes none.",
            f"Give it {needs}, or leave --prompt out.",
        )
    usual = AT_ONCE if source.endpoint else 1
    limits = CallLimits(
        per_minute=source.requests_per_minute,
        at_once=source.concurrency or usual,
        seconds=source.total_timeout,
    )
    identity = dict(captioner.identity())
    kept = None
    if identity:
        identity["given model"] = stamp_of(model)
        kept = KeptAnswers(root, identity, fresh=source.fresh)
    return Asker(captioner, limits, kept)


def wish_of(given: ModelOptions, seed: int) -> Wish:
    """Give how captions are asked for: greedily, with the prompt that was given."""
    return Wish(prompt=given.prompt, seed=seed)


def summary_of(
    given: ModelOptions, model: str | TextCaptioner | None, captioner: TextCaptioner
) -> ModelSummary:
    """Say what was asked, as a diagnosis names its model."""
    if isinstance(model, TextCaptioner):
        return ModelSummary(type(captioner).__name__, "text", None)
    source = given.source
    assert source is not None
    if isinstance(captioner, EndpointCaptioner):
        source = replace(source, endpoint_model=captioner.model)
    facts = {} if model is None else {"model": model}
    return ModelSummary(source.told, source.kind, None, None, facts)
