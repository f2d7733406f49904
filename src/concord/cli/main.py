"""The command line: one file a command."""

from __future__ import annotations

import io
import sys
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

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
from concord.core.printable import printable, printable_lines
from concord.core.redaction import guard_output
from concord.report.escaping import escape_process_output


class _Commands(TyperGroup):
    """The commands; what is wrong with a call is said in text that no terminal obeys."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except Exception as error:
            if isinstance(message := getattr(error, "message", None), str):  # a usage error: it quotes the call
                error.message = printable(message)  # type: ignore[attr-defined]
            raise


app = typer.Typer(
    cls=_Commands,
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
    guard_output()
    escape_process_output()
    if isinstance(sys.stdout, io.TextIOWrapper):  # a terminal that cannot show a character gets its code
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        app()
    except ConcordError as error:
        _fail(str(error))
    except ModuleNotFoundError as error:
        module = (error.name or "").partition(".")[0]
        if module not in _EXTRAS:
            raise
        _fail(str(MissingExtra.of(_EXTRAS[module], module)))
    except OSError as error:  # a disk that is full or gone, a permission that is missing, a server that does not answer
        place = f"{error.filename}: " if error.filename is not None else ""
        _fail(f"{place}{error.strerror or error or type(error).__name__}")
    except MemoryError as error:
        _fail(f"memory ran out{f': {error}' if str(error) else ''}")


def _fail(message: str) -> NoReturn:
    print(f"error: {printable_lines(message)}", file=sys.stderr)
    sys.exit(2)
