"""The options that several commands share, and what is made of them."""

from __future__ import annotations

import dataclasses
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from capfix_cli.core.errors import CapfixError
from capfix_cli.core.suggest import did_you_mean

if TYPE_CHECKING:
    from capfix_cli.api import Settings
    from capfix_cli.checkpoints.model_options import ModelOptions
    from capfix_cli.decoding.decoding_options import DecodingOptions
    from capfix_cli.schemas.diagnosis_record import Diagnosis

AUDIO_HELP = "Clips: a folder, a file, a list (text, CSV, JSONL), a pattern, or - for a pipe."


def not_empty(context: typer.Context, option: typer.CallbackParam, value: str | None) -> str | None:
    """Refuse an option that was given nothing, as an unset variable of a shell gives.

    Raises:
        CapfixError: names the option.
    """
    if value is not None and not value.strip():
        raise CapfixError(
            f"{option.opts[0]} is empty: was a variable of the shell not set?",
            f"Give {option.opts[0]} a value, or leave it out.",
        )
    return value


AdapterOption = Annotated[
    str | None,
    typer.Option("--adapter", metavar="FILE.py[:FACTORY]", help="Your own loader of the model."),
]
AudioOption = Annotated[
    str | None, typer.Option("--audio", metavar="PATH", callback=not_empty, help=AUDIO_HELP)
]
TrainAudioOption = Annotated[
    str | None,
    typer.Option(
        "--train-audio", metavar="PATH", callback=not_empty, help="The clips of --train-captions."
    ),
]
FeaturesOption = Annotated[
    list[str] | None,
    typer.Option(
        "--features",
        metavar="PATH",
        help="Features in place of audio: files of arrays; twice for two arrays a clip.",
    ),
]
FeatureFieldOption = Annotated[
    str | None,
    typer.Option("--feature-field", metavar="NAME", help="Which of a clip's arrays; or several."),
]
TrainingConfigOption = Annotated[
    str | None,
    typer.Option("--training-config", metavar="YAML", help="Settings it was trained with."),
]
VocabularyOption = Annotated[
    str | None,
    typer.Option("--vocabulary", metavar="FILE", help="Words: JSON, text, pickled list or map."),
]
BosOption = Annotated[
    str | None, typer.Option("--bos", metavar="TOKEN", help="Opens a caption: name or id.")
]
EosOption = Annotated[
    str | None, typer.Option("--eos", metavar="TOKEN", help="Ends a caption: name or id.")
]
PadOption = Annotated[
    str | None, typer.Option("--pad", metavar="TOKEN", help="Fills batches: name or id.")
]
NetworkOption = Annotated[
    str | None,
    typer.Option(
        "--network", metavar="MODULE:CLASS", help="Your network's class; no adapter is needed."
    ),
]
NetworkArgsOption = Annotated[
    str | None,
    typer.Option(
        "--network-args", metavar="NAME=VALUE,...", help="For its constructor, where asked for."
    ),
]
FrontEndOption = Annotated[
    str | None,
    typer.Option(
        "--front-end", metavar="MODULE:FUNCTION", help="Makes its features, where asked for."
    ),
]
RateOption = Annotated[
    int | None, typer.Option("--sample-rate", min=1, help="Of its audio, in Hz, where asked for.")
]
OwnCaptionsOption = Annotated[
    str | None,
    typer.Option(
        "--captions", metavar="FILE", help="What your own script says of the clips: compared."
    ),
]
OwnGenerateOption = Annotated[
    str | None,
    typer.Option(
        "--generate", metavar="MODULE:FUNCTION", help="Your own captioning, run and compared."
    ),
]
OwnLossOption = Annotated[
    str | None,
    typer.Option(
        "--loss", metavar="NUMBER", help="Your training's loss of --references: compared."
    ),
]
ClipsToCompareOption = Annotated[
    str | None,
    typer.Option(
        "--audio", metavar="PATH", callback=not_empty, help="Clips that captions are compared on."
    ),
]
TrustOption = Annotated[
    bool, typer.Option("--trust", help="Run the code that belongs to the model; it can do harm.")
]
PromptOption = Annotated[
    str | None,
    typer.Option("--prompt", metavar="TEXT", help="What a captioner that takes words is told."),
]
DeviceOption = Annotated[str, typer.Option("--device", help="Where to compute: cpu, cuda, ...")]
BatchOption = Annotated[int, typer.Option("--batch-size", min=1, help="Clips at once.")]
SeedOption = Annotated[int, typer.Option("--seed", min=0, help="The same seed, the same output.")]
JsonOption = Annotated[
    bool, typer.Option("--json", help="JSON on standard output, all else on standard error.")
]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Only the result, in short.")]
ReferencesOption = Annotated[
    str | None,
    typer.Option("--references", metavar="FILE", help="What people say, as `measure` reads it."),
]
ModelOrLatest = Annotated[
    str | None, typer.Argument(help="A checkpoint; the latest run's if none.")
]
AudioOrLatest = Annotated[
    str | None,
    typer.Option(
        "--audio",
        metavar="PATH",
        callback=not_empty,
        help="Clips, as diagnose takes them; the latest run's if none.",
    ),
]
CaptionFileOption = Annotated[
    str | None,
    typer.Option(
        "--output", "-o", metavar="FILE", help="Write .csv or .jsonl; resumes what broke off."
    ),
]
FailOnOption = Annotated[
    str | None,
    typer.Option(
        "--fail-on", metavar="VERDICT,...", help="Exit with status 3 on one of these verdicts."
    ),
]


def model_options(context: typer.Context) -> ModelOptions:
    """Gather what a command line says about the model, whichever of its options there are."""
    from capfix_cli.checkpoints.model_options import ModelOptions

    names = (row.name for row in dataclasses.fields(ModelOptions))
    return ModelOptions(**{n: context.params[n] for n in names if n in context.params})


def about_model(model: str | None, given: ModelOptions) -> ModelOptions:
    """Give the options about the model; under ``--trust`` say what will be imported."""
    if given.trust and model is not None:
        from capfix_cli.checkpoints.formats.checkpoint_folder import read_whole

        imports = ", ".join(read_whole(model).imports) or "nothing"
        typer.echo(f"--trust: {model} imports {imports}", err=True)
    return given


def one_source(
    audio: str | None, features: list[str] | None, field: str | None, *, needed: bool = True
) -> tuple[str, ...]:
    """See that clips are audio or features, and give the paths of the features.

    Raises:
        CapfixError: both, or neither where one is needed, or a field of audio.
    """
    if audio is not None and features:
        raise CapfixError("Clips are audio or features, not both.", "Leave --audio or --features.")
    if field is not None and not features:
        raise CapfixError("--feature-field is of features.", "Add --features PATH.")
    if needed and audio is None and not features:
        raise CapfixError(
            "Missing option '--audio' or '--features'.", "Give the clips: --audio PATH."
        )
    return tuple(features or ())


def settings(
    adapter: str | None,
    device: str,
    batch_size: int,
    seed: int,
    references: str | None = None,
    given: ModelOptions | None = None,
) -> Settings:
    """Gather the common options."""
    from capfix_cli.api import Settings
    from capfix_cli.checkpoints.model_options import NO_MODEL_OPTIONS

    return Settings(
        adapter=adapter,
        device=device,
        batch_size=batch_size,
        seed=seed,
        references=references,
        command=("capfix", *sys.argv[1:]),
        model=given or NO_MODEL_OPTIONS,
    )


def parse_verdicts(text: str | None) -> set[str]:
    """Read ``--fail-on``.

    Raises:
        CapfixError: not a verdict, with the nearest one.
    """
    from capfix_cli.schemas.measured_values import VERDICTS

    names = {name.strip().lower() for name in (text or "").split(",") if name.strip()}
    for name in sorted(names):
        if name not in VERDICTS:
            hint = did_you_mean(name, VERDICTS, f"Verdicts: {', '.join(VERDICTS)}.")
            raise CapfixError(f"--fail-on: {name!r} is not a verdict.", hint)
    return names


def fail_on(diagnosis: Diagnosis, verdicts: set[str]) -> None:
    """Exit with status 3 where the verdict is one of those.

    Raises:
        typer.Exit: it is.
    """
    from capfix_cli.core.errors import EXIT_VERDICT

    if diagnosis.verdict in verdicts:
        raise typer.Exit(EXIT_VERDICT)


TemperatureOption = Annotated[
    float | None, typer.Option("--temp", "--temperature", help="Divides the scores; samples.")
]
TopKOption = Annotated[
    int | None, typer.Option("--top-k", help="Sample among the k likeliest; 0 is all.")
]
TopPOption = Annotated[
    float | None, typer.Option("--top-p", help="Sample among the words that hold this share.")
]
MinPOption = Annotated[
    float | None, typer.Option("--min-p", help="Leave out words below this share of the likeliest.")
]
TypicalOption = Annotated[
    float | None, typer.Option("--typical-p", help="Sample among the most typical words.")
]
BeamsOption = Annotated[int | None, typer.Option("--num-beams", help="Beams of beam search.")]
GroupsOption = Annotated[
    int | None, typer.Option("--num-beam-groups", help="Groups of beams that differ.")
]
DiversityOption = Annotated[
    float | None, typer.Option("--diversity-penalty", help="Off a word that another group took.")
]
LengthPenaltyOption = Annotated[
    float | None, typer.Option("--length-penalty", help="Above 0 favours longer beams.")
]
EarlyStoppingOption = Annotated[
    str | None,
    typer.Option("--early-stopping", metavar="true|false|never", help="When beam search ends."),
]
RepetitionOption = Annotated[
    float | None, typer.Option("--repetition-penalty", help="Above 1 avoids words said before.")
]
NgramOption = Annotated[
    int | None, typer.Option("--no-repeat-ngram-size", help="No n words come twice.")
]
MinTokensOption = Annotated[int | None, typer.Option("--min-new-tokens", help="Fewest tokens.")]
MaxTokensOption = Annotated[int | None, typer.Option("--max-new-tokens", help="Most tokens.")]
CaptionsOption = Annotated[int | None, typer.Option("--num-captions", help="Captions a clip.")]
CandidatesOption = Annotated[
    int | None, typer.Option("--num-candidates", help="Captions that --rerank chooses among.")
]
RerankOption = Annotated[
    str | None,
    typer.Option(
        "--rerank", metavar="likelihood|listening|mbr", help="By what the best is chosen."
    ),
]
ContrastOption = Annotated[
    float | None, typer.Option("--contrast", help="Weight of audio-contrastive decoding.")
]
CutoffOption = Annotated[
    float | None,
    typer.Option("--contrast-cutoff", help="Words below this share of the likeliest stay out."),
]
AgainstOption = Annotated[
    str | None,
    typer.Option(
        "--contrast-against",
        metavar="others|mean-memory|silence|noise",
        help="What stands for no audio.",
    ),
]
DecodingOption = Annotated[
    str | None,
    typer.Option(
        "--decoding", metavar="FILE", help="A generation_config.json; other options override it."
    ),
]

# Options that do nothing without another: (which would use it, what it does, what to add).
_IDLE = {
    "length_penalty": ("num_beams", "ranks beams", "--num-beams, such as 5"),
    "early_stopping": ("num_beams", "ends beam search", "--num-beams, such as 5"),
    "contrast_cutoff": ("contrast", "cuts a contrast off", "--contrast, such as 1"),
    "contrast_absent": ("contrast", "stands on one side of a contrast", "--contrast, such as 1"),
}


DECODING = (
    *("temperature", "top_k", "top_p", "min_p", "typical_p", "num_beams", "num_beam_groups"),
    *("diversity_penalty", "length_penalty", "early_stopping", "repetition_penalty"),
    *("no_repeat_ngram_size", "min_new_tokens", "max_new_tokens", "num_candidates", "rerank"),
    *("contrast", "contrast_cutoff"),
)
# Where a parameter has another name than the option that it sets.
_RENAMED = {"num_captions": "num_return_sequences", "contrast_against": "contrast_absent"}


def decoding_of(context: typer.Context, file: str | None) -> DecodingOptions | None:
    """Make decoding options of a command's parameters, as :func:`decoding` does."""
    names = {**{name: name for name in DECODING}, **_RENAMED}
    return decoding({option: context.params[name] for name, option in names.items()}, file)


def decoding(given: dict[str, Any], file: str | None) -> DecodingOptions | None:
    """Make decoding options of what was given; None where nothing was.

    Args:
        given: option -> value, None where it was not given.
        file: a ``generation_config.json`` that the others override.

    Raises:
        CapfixError: a value out of range, options that exclude each other or do nothing, or a
            file that cannot be meant.
    """
    from capfix_cli.decoding.decoding_options import GREEDY, flag
    from capfix_cli.decoding.generation_config import read_decoding

    told = {name: value for name, value in given.items() if value is not None}
    if "early_stopping" in told:
        word = str(told["early_stopping"]).lower()
        told["early_stopping"] = {"true": True, "false": False}.get(word, word)
    base = read_decoding(file) if file is not None else GREEDY
    if not told:
        return base if file is not None else None
    if any(name in told for name in ("temperature", "top_k", "top_p", "min_p", "typical_p")):
        told["do_sample"] = True
    options = dataclasses.replace(base, **told)
    for name, (user, does, add) in _IDLE.items():
        used = user in told or getattr(options, user) != getattr(GREEDY, user)
        if name == "contrast_absent":
            used = used or options.rerank == "listening"
        if name in told and not used:
            raise CapfixError(f"{flag(name)} {does}, and there is none.", f"Add {add}.")
    return options
