"""The options of captioners that give text alone, and what is made of them."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from capfix_cli.core.errors import CapfixError

if TYPE_CHECKING:
    from capfix_cli.checkpoints.text_source import TextSource

FunctionOption = Annotated[
    str | None,
    typer.Option(
        "--caption-function", metavar="MODULE:NAME", help="Your function from a clip to its text."
    ),
]
CommandOption = Annotated[
    str | None,
    typer.Option(
        "--caption-command", metavar="COMMAND", help="Prints the caption of {audio}, or of {list}."
    ),
]
EndpointOption = Annotated[
    str | None,
    typer.Option("--endpoint", metavar="URL", help="An OpenAI-compatible API that takes audio."),
]
EndpointModelOption = Annotated[
    str | None,
    typer.Option("--endpoint-model", metavar="NAME", help="The model there, if it has several."),
]
KeyOption = Annotated[
    str | None,
    typer.Option(
        "--api-key-env", metavar="NAME", help="Environment variable of the key: CAPFIX_API_KEY."
    ),
]
PerMinuteOption = Annotated[
    float | None,
    typer.Option("--requests-per-minute", metavar="N", help="Most calls in a minute."),
]
ConcurrencyOption = Annotated[
    int | None,
    typer.Option("--concurrency", min=1, max=256, metavar="N", help="Calls at once."),
]
CallTimeoutOption = Annotated[
    float | None,
    typer.Option("--call-timeout", metavar="SECONDS", help="Longest that a call may take: 120."),
]
TotalTimeoutOption = Annotated[
    float | None,
    typer.Option("--total-timeout", metavar="SECONDS", help="Longest that all calls may take."),
]
FreshOption = Annotated[
    bool, typer.Option("--fresh", help="Ask anew what an earlier run was told already.")
]

_OPTIONS: dict[str, tuple[Any, Any]] = {  # parameter -> its option and default
    "caption_function": (FunctionOption, None),
    "caption_command": (CommandOption, None),
    "endpoint": (EndpointOption, None),
    "endpoint_model": (EndpointModelOption, None),
    "api_key_env": (KeyOption, None),
    "requests_per_minute": (PerMinuteOption, None),
    "concurrency": (ConcurrencyOption, None),
    "call_timeout": (CallTimeoutOption, None),
    "total_timeout": (TotalTimeoutOption, None),
    "fresh": (FreshOption, False),
}
# Where a parameter has another name than the field that it sets.
_SOURCES = {
    "caption_function": ("function", "--caption-function"),
    "caption_command": ("command", "--caption-command"),
    "endpoint": ("endpoint", "--endpoint"),
}
_LIMITS = {
    "endpoint_model": "--endpoint-model",
    "api_key_env": "--api-key-env",
    "requests_per_minute": "--requests-per-minute",
    "concurrency": "--concurrency",
    "call_timeout": "--call-timeout",
    "total_timeout": "--total-timeout",
    "fresh": "--fresh",
}
_SECONDS = ("requests_per_minute", "call_timeout", "total_timeout")  # must be above 0
_OF_CHECKPOINTS = (  # parameters that do nothing where a captioner is only asked
    *("adapter", "network", "network_args", "front_end", "vocabulary", "bos", "eos", "pad"),
    *("trust", "captions", "generate"),
)
_OF_ENDPOINT = ("endpoint_model", "api_key_env")


def with_text_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of captioners that give text, which it reads in its context.

    Args:
        command: takes a ``context``; :func:`text_source` makes of it what was said.
    """

    @functools.wraps(command)
    def run(*args: Any, **told: Any) -> None:
        command(*args, **{name: value for name, value in told.items() if name not in _OPTIONS})

    own = inspect.signature(command, eval_str=True)
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=option)
        for name, (option, default) in _OPTIONS.items()
    ]
    run.__signature__ = own.replace(parameters=[*own.parameters.values(), *added])  # type: ignore[attr-defined]
    return run


def text_source(context: typer.Context) -> TextSource | None:
    """Make of a command's parameters where captions come from; None where a model is run.

    Raises:
        CapfixError: two sources, or limits without a source.
    """
    from capfix_cli.checkpoints.text_source import TextSource

    params = context.params
    given = {name: params[name] for name in _SOURCES if params.get(name) is not None}
    limits: dict[str, Any] = {n: params[n] for n in _LIMITS if _is_given(params.get(n))}
    if len(given) > 1:
        names = " and ".join(_SOURCES[name][1] for name in given)
        raise CapfixError(f"{names} name two captioners.", "Give one of them.")
    for name in _SECONDS:
        if limits.get(name, 1.0) <= 0:
            raise CapfixError(f"{_LIMITS[name]} is {limits[name]:g}.", "Give a number above 0.")
    if not given:
        if limits:
            first = _LIMITS[next(iter(limits))]
            raise CapfixError(
                f"{first} is for captioners that give text alone, and none is given.",
                "Add --caption-function, --caption-command or --endpoint.",
            )
        return None
    (name,) = given
    if not str(given[name]).strip():
        raise CapfixError(f"{_SOURCES[name][1]} is empty.", "Say what gives the captions.")
    alien = [_LIMITS[one] for one in _OF_ENDPOINT if one in limits and name != "endpoint"]
    if alien:
        raise CapfixError(f"{alien[0]} goes with --endpoint only.", "Leave it out.")
    return TextSource(**{_SOURCES[name][0]: given[name]}, **limits)


def _is_given(value: object) -> bool:
    return value is not None and value is not False


def opens_with(source: TextSource | None) -> str:
    """Say what is done first."""
    return "loading PyTorch" if source is None else f"opening the {source.kind}"


def source_of(context: typer.Context) -> TextSource | None:
    """Make of a command's parameters where captions come from, and refuse what cannot be meant.

    Raises:
        CapfixError: says which option, and what to do.
    """
    source = text_source(context)
    for name in _OF_CHECKPOINTS:
        if source is not None and context.params.get(name):
            flag = f"--{name.replace('_', '-')}"
            raise CapfixError(
                f"{flag} says how a checkpoint is run, and --{_option(source)} is asked for text.",
                "Leave one of the two out.",
            )
    return source


def needs_model(model: str | None, source: TextSource | None) -> None:
    """Refuse a command that names nothing to run.

    Raises:
        CapfixError: neither is given.
    """
    if model is None and source is None:
        raise CapfixError(
            "There is nothing to diagnose: neither MODEL nor where captions come from.",
            "Give MODEL (a checkpoint), or --caption-function MODULE:NAME, --caption-command"
            " 'COMMAND {audio}' or --endpoint URL.",
        )


def _option(source: TextSource) -> str:
    return source.kind if source.kind == "endpoint" else f"caption-{source.kind}"
