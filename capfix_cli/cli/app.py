"""The ``capfix`` program: its commands, and how errors leave it."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Annotated, Any

import typer

from capfix_cli import __version__
from capfix_cli.cli import adapter_command as adapter
from capfix_cli.cli import demo_command as demo
from capfix_cli.cli import diagnose_command as diagnose
from capfix_cli.cli import fixes_command as fixes
from capfix_cli.cli import generate_command as generate
from capfix_cli.cli import inspect_command as inspect
from capfix_cli.cli import measure_command as measure
from capfix_cli.cli import recipe_command as recipe
from capfix_cli.cli import recommend_command as recommend
from capfix_cli.cli import retrain_command as retrain
from capfix_cli.core.errors import EXIT_USAGE, CapfixError

app = typer.Typer(
    name="capfix",
    help="Finds out why an audio captioner says the same thing about every sound, and fixes it.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help: rich would double the start-up time
)
_COMMANDS: tuple[tuple[ModuleType, str], ...] = (
    (diagnose, "diagnose"),
    (generate, "generate"),
    (measure, "measure"),
    (recommend, "recommend"),
    (retrain, "retrain"),
    (fixes, "fixes"),
    (inspect, "inspect"),
    (demo, "demo"),
)
for module, name in _COMMANDS:
    app.command(name)(module.command)
app.add_typer(adapter.app, name="adapter")
app.add_typer(recipe.app, name="recipe")


def _version(value: bool) -> None:
    if value:
        typer.echo(f"capfix {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Take the options of the program itself."""


def main() -> None:
    """Run ``capfix``: what the user can mend is one line and status 2, never a traceback."""
    if len(sys.argv) == 1:
        sys.argv.append("--help")
    try:
        status: Any = app(standalone_mode=False)
    except CapfixError as error:
        _complain(error.message, error.hint)
        status = EXIT_USAGE
    except KeyboardInterrupt:
        _complain("Stopped.", "")
        status = 130  # as shells report SIGINT
    except BrokenPipeError:
        sys.stderr.close()  # `capfix ... | head`: the reader has seen enough
        status = 0
    except Exception as error:
        # Typer 0.26 and later bring a click of their own, so its errors are known by their shape.
        describe = getattr(error, "format_message", None)
        if type(error).__name__ == "Abort":
            status = 130
        elif describe is None:
            raise
        else:
            _complain(_sentence(str(describe())), _usage_hint(error))
            status = EXIT_USAGE
    sys.exit(status if isinstance(status, int) else 0)


def _sentence(text: str) -> str:
    text = " ".join(text.split())
    return text if text.endswith((".", "?", "!")) else f"{text}."


def _usage_hint(error: Exception) -> str:
    context = getattr(error, "ctx", None)
    path = getattr(context, "command_path", "capfix")
    return f"`{path} --help` shows what it takes."


def _complain(message: str, hint: str) -> None:
    sys.stdout.flush()
    sys.stderr.write(f"Error: {message}{' ' + hint if hint else ''}\n")
