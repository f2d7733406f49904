"""``concord doctor``."""

from __future__ import annotations

import dataclasses
import warnings
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from concord.cli import output


def command(json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False) -> None:
    """Say whether the installed engines are those that were tested; exit code 1 if one differs."""
    from concord.engines.doctor import examine

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what engines say of each other's parts that are not installed
        found = examine()
    if json:
        output.print_json({entry.engine: dataclasses.asdict(entry) for entry in found})
    else:
        table = Table("engine", "installed", "tested", "", box=None, padding=(0, 2, 0, 0))
        for entry in found:
            table.add_row(entry.engine, entry.installed or "-", entry.tested, _SAID[entry.verdict])
        output.stdout.print(table)
        for entry in found:
            for line in entry.differences:
                output.stdout.print(f"{entry.engine}: {escape(line)}", soft_wrap=True)
    if any(entry.verdict == "differs" for entry in found):
        raise typer.Exit(1)


_SAID = {
    "absent": "not installed",
    "tested": "as tested",
    "untested": "not tested, but its seams look the same",
    "differs": "differs from what was tested:",
}
