"""``concord eval``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from concord.cli import output
from concord.core.errors import ConfigError


def command(
    run: Annotated[str, typer.Argument(help="A run folder, a YAML file, or the name of a recipe that ships.")],
    overrides: Annotated[list[str] | None, typer.Argument(help="key.sub=value, any number of them.")] = None,
    model: Annotated[
        list[str] | None, typer.Option(help="Evaluate this model (folder or hub id); may be given several times.")
    ] = None,
    temperature: Annotated[float, typer.Option(min=0.0, help="0 = greedy.")] = 0.0,
    batch_size: Annotated[int, typer.Option(min=1, help="Prompts at a time.")] = 64,
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Answer the held-out prompts of a run and score the answers: base against trained, or any models."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from concord.rewards import RewardSet
    from concord.run.config import load_config
    from concord.run.data import load_rows
    from concord.run.evaluate import Evaluation, evaluate
    from concord.run.folder import CONFIG
    from concord.run.paths import model_source
    from concord.run.quiet import hush
    from concord.run.train import MODEL

    folder = Path(run)
    config = load_config(folder / CONFIG if folder.is_dir() else run, overrides or [])
    if config.data.eval is None:
        raise ConfigError("data.eval: names no held-out rows; add it, or give data.eval.split=... here")
    hush()
    models = {name: name for name in model} if model else {"base": config.model, "trained": str(config.out / MODEL)}
    found: dict[str, Evaluation] = {}
    rewards = RewardSet(config.named_rewards())
    for name, path in models.items():
        if name == "trained" and not Path(path).is_dir():
            continue  # the run has not finished, or not begun
        source = model_source(path)
        tokenizer = AutoTokenizer.from_pretrained(source)
        found[name] = evaluate(
            AutoModelForCausalLM.from_pretrained(source, dtype="auto"),
            tokenizer,
            load_rows(config.data.eval, tokenizer, config.seed),
            rewards,
            max_new_tokens=int(config.engine.get("max_completion_length", 256)),
            batch_size=batch_size,
            temperature=temperature,
            seed=config.seed,
            console=output.stderr,
            title=f"Evaluating {name}",
        )
    rewards.close()
    if json:
        output.print_json(output.as_data(found))
    else:
        output.stdout.print(output.comparison(found))
