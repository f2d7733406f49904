"""``concord eval``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from concord.cli import output


def command(
    run: Annotated[str, typer.Argument(help="A run folder, a YAML file, or the name of a recipe that ships.")],
    overrides: Annotated[list[str] | None, typer.Argument(help="key.sub=value, any number of them.")] = None,
    model: Annotated[
        list[str] | None, typer.Option(help="Evaluate this model (folder or hub id); may be given several times.")
    ] = None,
    on: Annotated[
        list[str] | None, typer.Option(help="Only this evaluation, or held_out; may be given several times.")
    ] = None,
    temperature: Annotated[float, typer.Option(min=0.0, help="0 = greedy.")] = 0.0,
    batch_size: Annotated[int, typer.Option(min=1, help="Prompts at a time.")] = 64,
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Answer the prompts of a run's evaluations and score the answers: base against trained, or any models."""
    from concord.cli.evaluation_tables import evaluation_table
    from concord.engines.defaults import GRPO
    from concord.run.config import HELD_OUT, load_config
    from concord.run.evaluations import Found, chosen, evaluate_sets, load_policy
    from concord.run.quiet import hush
    from concord.run.state import CONFIG, MODEL

    with output.apart(json):
        folder = Path(run)
        config = load_config(folder / CONFIG if folder.is_dir() else run, overrides or [])
        evaluations = chosen(config, on)
        hush()
        models = {name: name for name in model} if model else {"base": config.model, "trained": str(config.out / MODEL)}
        if not model and not Path(models["trained"]).is_dir():
            del models["trained"]  # the run has not finished, or not begun
        found: dict[str, dict[str, Found]] = {name: {} for name in evaluations}
        for label, path in models.items():
            policy = load_policy(
                path, on_cpu=GRPO.read(config.engine, "use_cpu"), allow_missing=config.allow_missing_weights
            )
            for name, evaluation in evaluations.items():
                found[name][label] = evaluate_sets(
                    config,
                    evaluation,
                    policy,
                    batch_size=batch_size,
                    temperature=temperature,
                    console=output.stderr,
                    title=f"Evaluating {label}",
                )
    held_out = {label: result[HELD_OUT] for label, result in found.pop(HELD_OUT, {}).items()}
    if json:
        others = {name: {label: output.as_data(sets) for label, sets in by.items()} for name, by in found.items()}
        output.print_json(output.as_data(held_out) | ({"evaluations": others} if others else {}))
        return
    if held_out:
        output.stdout.print(output.comparison(held_out))
    for name, by_model in found.items():
        runs = {label: [result] for label, result in by_model.items()}
        output.stdout.print(evaluation_table(name, runs))
