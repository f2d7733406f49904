"""``concord compare``."""

from __future__ import annotations

import shlex
import sys
from typing import Annotated

import typer
from rich.markup import escape

from concord.cli import output


def command(
    run: Annotated[str, typer.Argument(help="A YAML file, or the name of a recipe that ships.")],
    overrides: Annotated[list[str] | None, typer.Argument(help="key.sub=value, any number of them.")] = None,
    method: Annotated[
        list[str] | None, typer.Option(help="A method, as in method=...; may be given several times. The run's own.")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Seeds 0, 1, ..., so many.")] = 5,
    on: Annotated[list[str] | None, typer.Option(help="Only this evaluation; may be given several times.")] = None,
    launcher: Annotated[
        str, typer.Option(help="Words before `concord train`, such as 'accelerate launch --num_processes 8 -m'.")
    ] = "",
    batch_size: Annotated[int, typer.Option(min=1, help="Prompts at a time, in the evaluations.")] = 64,
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Train a run with several methods and seeds, evaluate each, and show means, deviations and published figures."""
    from concord.cli.evaluation_tables import evaluation_table
    from concord.run.compare import evaluate_member, members, train_member
    from concord.run.evaluations import Found, check_evaluation, chosen
    from concord.run.quiet import hush

    with output.apart(json):
        made = members(run, overrides or [], method or [], seeds)
        evaluations = chosen(made[0].config, on)
        for name, evaluation in evaluations.items():
            check_evaluation(made[0].config, name, evaluation)
        hush()
        for number, member in enumerate(made, 1):
            output.stderr.print(f"[bold]{escape(member.label)}[/], seed {member.config.seed} ({number} of {len(made)})")
            train_member(member, shlex.split(launcher), sys.stderr if json else None)
        found: dict[str, dict[str, list[Found]]] = {name: {} for name in evaluations}
        for member in made:
            results = evaluate_member(member, evaluations, batch_size=batch_size, console=output.stderr)
            for name, result in results.items():
                found[name].setdefault(member.label, []).append(result)
    if json:
        runs = {n: {m: [output.as_data(run) for run in of] for m, of in by.items()} for n, by in found.items()}
        output.print_json(runs)
        return
    for name, by_method in found.items():
        output.stdout.print()
        output.stdout.print(evaluation_table(name, by_method, evaluations[name].published))
