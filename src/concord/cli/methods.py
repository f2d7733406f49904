"""``concord methods``."""

from __future__ import annotations

import dataclasses
from typing import Annotated

import typer
from rich.table import Table

import concord
from concord.cli import output
from concord.core.errors import UnknownName


def command(
    pattern: Annotated[str, typer.Argument(metavar="[GLOB]", help="Only names that match, such as 'gd*'.")] = "*",
    json: Annotated[bool, typer.Option("--json", help="Print the cards as JSON.")] = False,
) -> None:
    """List the methods."""
    found = concord.names(pattern)
    if not found:
        raise UnknownName(f"no method matches {pattern!r}; there are {', '.join(concord.names())}")
    if json:
        output.print_json({name: dataclasses.asdict(concord.info(name)) for name in found})
        return
    table = Table("method", "arXiv", "advantage", box=None, padding=(0, 2, 0, 0))
    for name in found:
        card = concord.info(name)
        table.add_row(f"[bold]{name}[/]", card.arxiv, card.formula)
    output.stdout.print(table)
