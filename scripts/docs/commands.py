"""The page of the command line, from the commands themselves."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import typer.main
from scripts.docs.docstring import roles

from concord.cli.main import app

PATH = "reference/cli.md"


def page() -> str:
    """A section a command, with its arguments and options."""
    group = typer.main.get_command(app)
    sections = [section(name, command) for name, command in commands("concord", group)]
    return "\n\n".join(["# Command line", "As `concord COMMAND --help` prints it.", *sections]) + "\n"


def commands(path: str, command: Any) -> Iterator[tuple[str, Any]]:
    """A command, or those of a group, by the words that call them."""
    if not hasattr(command, "commands"):
        yield path, command
        return
    for name, inner in sorted(command.commands.items()):
        yield from commands(f"{path} {name}", inner)


def section(path: str, command: Any) -> str:
    """What a command does, and a row for each of its parameters."""
    lines = ["| | |", "|---|---|"]
    for parameter in command.params:
        name = ", ".join(parameter.opts) if parameter.param_type_name == "option" else parameter.name.upper()
        about = " ".join((getattr(parameter, "help", "") or "").split()).replace("|", "\\|")
        lines.append(f"| `{name}` | {about} |")
    table = "\n".join(lines) if command.params else ""
    return f"## {path}\n\n{roles(inspect.cleandoc(command.help or ''))}\n\n{table}".rstrip()
