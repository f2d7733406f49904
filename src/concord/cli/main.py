"""The command line: one file a command."""

from __future__ import annotations

import sys
from typing import Annotated, NoReturn

import typer

import concord
from concord.cli import (
    bench,
    compare,
    diagnose,
    doctor,
    evaluate,
    launch,
    methods,
    recipes,
    reward_model,
    rewards,
    show,
    train,
)
from concord.core.errors import ConcordError, MissingExtra

app = typer.Typer(
    help="Train language models with several rewards at once, and see where the rewards conflict.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("train")(train.command)
app.command("eval")(evaluate.command)
app.command("compare")(compare.command)
app.command("launch")(launch.command)
app.command("diagnose")(diagnose.command)
app.command("bench")(bench.command)
app.command("methods")(methods.command)
app.command("show")(show.command)
app.command("doctor")(doctor.command)
app.add_typer(recipes.app, name="recipes")
app.add_typer(rewards.app, name="rewards")
app.add_typer(reward_model.app, name="reward-model")


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"concord {concord.__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")] = False,
) -> None:
    pass


_EXTRAS = {
    **dict.fromkeys(("accelerate", "datasets", "matplotlib", "peft", "transformers", "trl"), "train"),
    **dict.fromkeys(("httpx2", "math_verify", "py3langid", "tenacity"), "rewards"),
    **dict.fromkeys(("omegaconf", "tensordict", "transfer_queue", "verl"), "verl"),
    **dict.fromkeys(("jinja2", "pyarrow"), "report"),
}
"""The extra that brings a module."""


def main() -> None:
    """Run the command line. Exit codes: 0 done, 1 a finding (where a command looks for one), 2 a mistake in use."""
    try:
        app()
    except ConcordError as error:
        _fail(error)
    except OSError as error:  # a disk that is full, or a file that may not be read, where nobody else has said so
        _fail(error)
    except ModuleNotFoundError as error:
        module = (error.name or "").partition(".")[0]
        if module not in _EXTRAS:
            raise
        _fail(MissingExtra.of(_EXTRAS[module], module))


def _fail(error: Exception) -> NoReturn:
    print(f"error: {error}", file=sys.stderr)
    sys.exit(2)
