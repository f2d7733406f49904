"""``concord methods``."""

from __future__ import annotations

import dataclasses
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

import concord
from concord.cli import output
from concord.core.errors import UnknownName
from concord.methods import Method


def command(
    pattern: Annotated[str, typer.Argument(metavar="[GLOB]", help="Only names that match, such as 'gd*'.")] = "*",
    json: Annotated[bool, typer.Option("--json", help="Print the cards as JSON.")] = False,
) -> None:
    """List the methods."""
    found = concord.names(pattern)
    if not found:
        raise UnknownName(f"no method matches {pattern!r}; there are {', '.join(concord.names())}")
    if json:
        cards = {name: concord.info(name) for name in found}
        output.print_json(
            {name: dataclasses.asdict(card) | {"needs": needs(name, card)} for name, card in cards.items()}
        )
        return
    table = Table(box=None, padding=(0, 2, 0, 0))
    for column in ("method", "arXiv", "kind", "needs", "certainty", "checked against"):
        table.add_column(column, no_wrap=column in ("method", "arXiv"))
    for name in found:
        card = concord.info(name)
        asked = ", ".join(needs(name, card)) or "rewards"
        table.add_row(f"[bold]{name}[/]", card.arxiv, card.kind, asked, card.certainty, escape(card.parity or "-"))
    output.stdout.print(table)


def needs(name: str, card: concord.Card, made: Method | None = None) -> list[str]:
    """What a method needs beside rewards; ``made`` with its defaults where it is not given."""
    found = list(card.needs)
    if card.kind in ("advantage", "loss"):
        method = concord.create(name) if made is None else made
        preferred = [f"{column} (or counts rollouts alike)" for column in sorted(method.signal.prefers)]
        found += [*sorted(method.needs), *preferred, *method.needs_further]
    return found
