"""``concord show``."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Annotated, Any

import typer
from rich.markup import escape

import concord
from concord.cli import output
from concord.cli.methods import needs
from concord.cli.parameters import parse
from concord.core.errors import ConcordError, ConfigError
from concord.methods import Method, builder
from concord.rewards.builtin.options import short


def command(
    method: Annotated[str, typer.Argument(help="A name from `concord methods`.")],
    parameters: Annotated[list[str] | None, typer.Argument(help="name=value, such as tau=0.5.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """Show a method: where it comes from, its formula, its chain, its loss, its learner, what it needs."""
    build, card = builder(method), concord.info(method)
    values = parse(parameters or [], build, method)
    # What is no Method may ask for things that no command line can give, such as a judge: it is shown unbuilt.
    made = _made(method, values) if card.kind in ("advantage", "loss") else None
    if json:
        about = {"name": method, "card": dataclasses.asdict(card), "parameters": {**_defaults(build), **values}}
        output.print_json(about | (_data(made) if made else {}) | {"needs": needs(method, card, made)})
        return
    console = output.stdout
    console.print(f"[bold]{method}[/]  {escape(card.title)}, arXiv:{card.arxiv}")
    console.print(f"\n{escape(inspect.getdoc(build) or '')}\n", soft_wrap=True)
    if made:
        console.print("[bold]chain[/]")
        for stage in made.signal.stages:
            console.print(f"  {escape(repr(stage))}", soft_wrap=True)
    parts = _texts(made) if made else {"built by": f"{build.__module__}.{method}"}
    parts["needs"] = ", ".join(needs(method, card, made)) or "rewards only"
    checked = {"reference code": card.code, "checked against": card.parity, "certainty": card.certainty}
    for label, text in {"kind": card.kind, **parts, **checked}.items():
        console.print(f"[bold]{label}[/]  {escape(text or '-')}", soft_wrap=True)


def _made(method: str, values: dict[str, Any]) -> Method:
    try:
        return concord.create(method, **values)
    except ConcordError:
        raise
    except (TypeError, ValueError, OverflowError) as error:  # of a value that the function cannot compare or convert
        given = ", ".join(f"{name}={short(value)}" for name, value in values.items())
        raise ConfigError(f"{method} cannot be built with {given}: {error}") from error


def _data(made: Method) -> dict[str, Any]:
    return {
        "chain": made.signal.to_config(),
        "objective": repr(made.objective),
        "learner": repr(made.learner) if made.learner else None,
        "count_dropped": made.count_dropped,
    }


def _texts(made: Method) -> dict[str, str]:
    return {
        "loss": repr(made.objective),
        "learner": repr(made.learner) if made.learner else "none",
        "dropped rollouts": "stay in the denominators" if made.count_dropped else "leave the denominators",
    }


def _defaults(build: Any) -> dict[str, Any]:
    parameters = inspect.signature(build).parameters.items()
    return {name: None if p.default is inspect.Parameter.empty else p.default for name, p in parameters}
