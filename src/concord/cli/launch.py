"""``concord launch``."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.markup import escape

from concord.cli import output


def command(
    run: Annotated[str, typer.Argument(help="A YAML file, or the name of a recipe that ships.")],
    overrides: Annotated[list[str] | None, typer.Argument(help="key.sub=value of the run, any number of them.")] = None,
    engine: Annotated[Literal["verl"], typer.Option(help="The engine to run on.")] = "verl",
    nodes: Annotated[int, typer.Option(min=1, help="Machines of the cluster.")] = 1,
    gpus: Annotated[int, typer.Option(min=1, help="Accelerators of each machine.")] = 8,
    option: Annotated[
        list[str] | None, typer.Option("--option", "-o", help="key=value of the engine, handed on as it is.")
    ] = None,
    to: Annotated[Path | None, typer.Option(help="Folder for the files; every machine must see it.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Write the files, and start nothing.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Run a configuration on a Ray cluster with verl: write its command and its files, then run it."""
    from concord.run.config import load_config
    from concord.run.launch import plan
    from concord.run.launch.plan import SCRIPT

    config = load_config(run, overrides or [])
    folder = config.out.with_name(f"{config.out.name}-{engine}") if to is None else to
    launch = plan(config, folder, nodes=nodes, gpus=gpus, options=option or [])
    launch.write()
    script = launch.folder / SCRIPT
    if json:
        output.print_json(
            {"folder": str(launch.folder), "command": list(launch.words), "not_carried": list(launch.left)}
        )
    else:
        console = output.stdout
        console.print(escape(launch.files[SCRIPT]), soft_wrap=True)
        for line in launch.left:
            console.print(f"[yellow]not carried over[/]  {escape(line)}", soft_wrap=True)
        console.print(f"\n{escape(str(script))}", soft_wrap=True)
    if not dry_run:
        raise typer.Exit(subprocess.run(["bash", str(script)], check=False).returncode)
