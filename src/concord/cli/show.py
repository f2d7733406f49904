"""``concord show``."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Annotated, Any

import typer
from rich.markup import escape

import concord
from concord.cli import output
from concord.cli.parameters import parse
from concord.methods import builder


def command(
    method: Annotated[str, typer.Argument(help="A name from `concord methods`.")],
    parameters: Annotated[list[str] | None, typer.Argument(help="name=value, such as tau=0.5.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """Show a method: where it comes from, its formula, its chain, its loss, its learner, what it needs."""
    build, card = builder(method), concord.info(method)
    values = parse(parameters or [], inspect.signature(build).parameters)
    made = build(**values)
    if json:
        output.print_json(
            {
                "name": method,
                "card": dataclasses.asdict(card),
                "parameters": {**_defaults(build), **values},
                "chain": made.signal.to_config(),
                "objective": repr(made.objective),
                "learner": repr(made.learner) if made.learner else None,
                "needs": sorted(made.needs),
                "count_dropped": made.count_dropped,
            }
        )
        return
    console = output.stdout
    console.print(f"[bold]{method}[/]  {escape(card.title)}, arXiv:{card.arxiv}")
    console.print(f"\n{escape(inspect.getdoc(build) or '')}\n", soft_wrap=True)
    console.print("[bold]chain[/]")
    for stage in made.signal.stages:
        console.print(f"  {escape(repr(stage))}", soft_wrap=True)
    for label, text in {
        "loss": repr(made.objective),
        "learner": repr(made.learner) if made.learner else "none",
        "needs": ", ".join(sorted(made.needs)) or "rewards only",
        "dropped rollouts": "stay in the denominators" if made.count_dropped else "leave the denominators",
        "reference code": card.code,
        "checked against": card.parity,
        "certainty": card.certainty,
    }.items():
        console.print(f"[bold]{label}[/]  {escape(text)}", soft_wrap=True)


def _defaults(build: Any) -> dict[str, Any]:
    return {name: parameter.default for name, parameter in inspect.signature(build).parameters.items()}
