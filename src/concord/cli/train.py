"""``concord train``."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from concord.cli import output


def command(
    run: Annotated[str, typer.Argument(help="A YAML file, or the name of a recipe that ships.")],
    overrides: Annotated[list[str] | None, typer.Argument(help="key.sub=value, any number of them.")] = None,
    resume: Annotated[bool, typer.Option(help="Go on with the run in the folder, from where it stands.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Train a policy with several rewards, and compare it with its base on held-out prompts."""
    from concord.run.config import load_config

    with output.apart(json):
        config = load_config(run, overrides or [])  # before what takes seconds to import: a mistake is said at once
        from concord.run.quiet import hush
        from concord.run.state import CURVES, MODEL, ROLLOUTS
        from concord.run.train import train

        hush()
        console = output.stderr if json else output.stdout
        console.print(f"[bold]{config.method.name}[/] on {config.data.path}, model {config.model}, seed {config.seed}")
        done = train(config, console=console, resume=resume)
    evaluations = {name: found for name, found in (("base", done.base), ("trained", done.trained)) if found is not None}
    if json:
        output.print_json({"run": str(done.folder), "evaluations": output.as_data(evaluations)})
        return
    if evaluations:
        console.print()
        console.print(output.comparison(evaluations))
    console.print(f"\n{os.path.relpath(done.folder)}: {MODEL}/ {ROLLOUTS}/ {CURVES}", soft_wrap=True)
