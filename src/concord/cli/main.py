"""The command line: one file a command."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

import concord
from concord.cli import diagnose, evaluate, methods, show, train
from concord.core.errors import ConcordError

app = typer.Typer(
    help="Train language models with several rewards at once, and see where the rewards conflict.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("train")(train.command)
app.command("eval")(evaluate.command)
app.command("diagnose")(diagnose.command)
app.command("methods")(methods.command)
app.command("show")(show.command)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"concord {concord.__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line. Exit codes: 0 done, 1 a finding (where a command looks for one), 2 a mistake in use."""
    try:
        app()
    except ConcordError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
