"""``concord reward-model``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table
from typer.core import TyperGroup

from concord.cli import output
from concord.core.errors import ConfigError

if TYPE_CHECKING:
    from concord.reward_models.evaluate import SetEvaluation

Overrides = Annotated[list[str] | None, typer.Argument(help="key.sub=value, any number of them.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


class _TrainByDefault(TyperGroup):
    """``reward-model RUN.yaml`` is ``reward-model train RUN.yaml``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] != "--help":
            args = ["train", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(cls=_TrainByDefault, no_args_is_help=True, help="Train reward models without the usual biases.")


@app.command()
def train(
    run: Annotated[str, typer.Argument(help="A YAML file, or the name of a recipe that ships.")],
    overrides: Overrides = None,
    json: Json = False,
) -> None:
    """Train a reward model for every objective of a run, and compare them on held-out pairs."""
    from concord.reward_models.config import load_config
    from concord.reward_models.folder import EVALUATION, PLOT, as_data
    from concord.reward_models.train import train
    from concord.run.quiet import hush

    config = load_config(run, overrides or [])
    hush()
    found = train(config, console=output.stderr)
    if json:
        output.print_json({"run": str(config.out), "evaluations": as_data(found)})
        return
    if found:
        output.stdout.print(comparison(found))
    also = f" {EVALUATION} {PLOT}" if found else ""
    trained = [name for name, objective in config.objectives.items() if objective.residual_of is None]
    models = " ".join(f"{name}/model/" for name in trained)
    output.stdout.print(f"\n{os.path.relpath(config.out)}: {models}{also}", soft_wrap=True)


@app.command("eval")
def evaluate(
    run: Annotated[str, typer.Argument(help="A run folder, a YAML file, or the name of a recipe that ships.")],
    overrides: Overrides = None,
    model: Annotated[
        list[str] | None, typer.Option(help="Evaluate this model (folder or hub id); may be given several times.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for evaluation.json and evaluation.png.")] = None,
    json: Json = False,
) -> None:
    """Evaluate the models of a run, or any others, on the pairs of its data.eval."""
    from concord.reward_models.config import load_config
    from concord.reward_models.evaluate import evaluate
    from concord.reward_models.folder import as_data
    from concord.reward_models.train import eval_sets, evaluate_run, load_model, write_evaluation
    from concord.run.folder import CONFIG
    from concord.run.quiet import hush

    folder = Path(run)
    config = load_config(folder / CONFIG if folder.is_dir() else run, overrides or [])
    if not config.data.eval:
        raise ConfigError("data.eval: names no held-out pairs; add some, or give data.eval.<name>.path=... here")
    hush()
    sets = eval_sets(config)
    if model:
        found = {name: evaluate(load_model(config, name), sets, console=output.stderr) for name in model}
    else:
        found = evaluate_run(config, sets, console=output.stderr)
    if out is not None:
        write_evaluation(out, found)
    if json:
        output.print_json(as_data(found))
    else:
        output.stdout.print(comparison(found))


def comparison(found: Mapping[str, Mapping[str, SetEvaluation]]) -> Table:
    """Models side by side, a block a set."""
    models = list(found)
    table = Table("held-out pairs", *models, box=None)
    for column in table.columns:
        column.no_wrap = True
        column.justify = "left" if column is table.columns[0] else "right"
    for name, first in found[models[0]].items():
        table.add_row(f"[bold]{escape(name)}[/] ({first.accuracy.pairs})")
        columns = [_lines(found[model][name]) for model in models]
        for label in columns[0]:
            table.add_row(f"  {label}", *(_shown(column[label]) for column in columns))
    return table


def _lines(evaluation: SetEvaluation) -> dict[str, float]:
    lines = {
        "accuracy": evaluation.accuracy.share,
        "  chosen is longer": evaluation.longer_chosen.share,
        "  chosen is shorter": evaluation.shorter_chosen.share,
        "reward, length: Pearson": evaluation.length.pearson,
        "  Spearman": evaluation.length.spearman,
        "  nats": evaluation.length.information,
        "calibration error": evaluation.calibration.error,
    }
    if evaluation.styles is not None:
        styles = evaluation.styles
        lines |= {"styles: easy": styles.easy, "  normal": styles.normal, "  hard": styles.hard}
    return lines


def _shown(value: float) -> str:
    return "-" if value != value else f"{value:.3f}"
