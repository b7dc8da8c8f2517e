"""The options that several commands share, and what is made of them."""

from __future__ import annotations

import difflib
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from capfix_cli.errors import CapfixError
from capfix_cli.records import VERDICTS, Diagnosis

if TYPE_CHECKING:
    from capfix_cli.captioners.given import Given
    from capfix_cli.decoding.options import DecodingOptions
    from capfix_cli.pipeline import Settings

AdapterOption = Annotated[
    str | None,
    typer.Option("--adapter", metavar="FILE.py:FACTORY", help="Your own loader of the model."),
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
TrustOption = Annotated[
    bool, typer.Option("--trust", help="Run the code that belongs to the model; it can do harm.")
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
    typer.Option("--references", metavar="CSV", help="References: file_name, caption_1, ..."),
]
FailOnOption = Annotated[
    str | None,
    typer.Option(
        "--fail-on", metavar="VERDICT,...", help="Exit with status 3 on one of these verdicts."
    ),
]


def about_model(
    model: str | None,
    vocabulary: str | None,
    bos: str | None,
    eos: str | None,
    pad: str | None,
    trust: bool,
) -> Given:
    """Gather the options about the model; under ``--trust`` say what will be imported."""
    from capfix_cli.captioners.given import Given

    if trust and model is not None:
        from capfix_cli.captioners.inspection.folders import read_whole

        imports = ", ".join(read_whole(model).imports) or "nothing"
        typer.echo(f"--trust: {model} imports {imports}", err=True)
    return Given(vocabulary, bos, eos, pad, trust)


def settings(
    adapter: str | None,
    device: str,
    batch_size: int,
    seed: int,
    references: str | None = None,
    given: Given | None = None,
) -> Settings:
    """Gather the common options."""
    from capfix_cli.captioners.given import NOTHING
    from capfix_cli.pipeline import Settings

    return Settings(
        adapter=adapter,
        device=device,
        batch_size=batch_size,
        seed=seed,
        references=references,
        command=("capfix", *sys.argv[1:]),
        model=given or NOTHING,
    )


def parse_verdicts(text: str | None) -> set[str]:
    """Read ``--fail-on``.

    Raises:
        CapfixError: not a verdict, with the nearest one.
    """
    names = {name.strip().lower() for name in (text or "").split(",") if name.strip()}
    for name in sorted(names):
        if name not in VERDICTS:
            near = difflib.get_close_matches(name, VERDICTS, n=1)
            hint = f"Did you mean {near[0]}?" if near else f"Verdicts: {', '.join(VERDICTS)}."
            raise CapfixError(f"--fail-on: {name!r} is not a verdict.", hint)
    return names


def fail_on(diagnosis: Diagnosis, verdicts: set[str]) -> None:
    """Exit with status 3 where the verdict is one of those.

    Raises:
        typer.Exit: it is.
    """
    from capfix_cli.errors import EXIT_VERDICT

    if diagnosis.verdict in verdicts:
        raise typer.Exit(EXIT_VERDICT)


TemperatureOption = Annotated[
    float | None, typer.Option("--temp", "--temperature", help="Divides the logits; samples.")
]
TopKOption = Annotated[int | None, typer.Option("--top-k", help="Sample among the k likeliest.")]
TopPOption = Annotated[
    float | None, typer.Option("--top-p", help="Sample among the words that hold this share.")
]
BeamsOption = Annotated[int | None, typer.Option("--num-beams", help="Beams of beam search.")]
LengthPenaltyOption = Annotated[
    float | None, typer.Option("--length-penalty", help="Above 0 favours longer beams.")
]
ContrastOption = Annotated[
    float | None, typer.Option("--contrast", help="Weight of audio-contrastive decoding.")
]


def decoding(
    temperature: float | None,
    top_k: int | None,
    top_p: float | None,
    num_beams: int | None,
    length_penalty: float | None,
    contrast: float | None,
) -> DecodingOptions | None:
    """Make decoding options of what was given; None where nothing was.

    Raises:
        CapfixError: a value out of range, or options that exclude each other.
    """
    from capfix_cli.decoding.options import DecodingOptions

    sampling = {"temperature": temperature, "top_k": top_k, "top_p": top_p}
    others = {"num_beams": num_beams, "length_penalty": length_penalty, "contrast": contrast}
    given = {name: value for name, value in {**sampling, **others}.items() if value is not None}
    if not given:
        return None
    sample = any(value is not None for value in sampling.values())
    return DecodingOptions(do_sample=sample, **given)  # type: ignore[arg-type]
