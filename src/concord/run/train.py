"""From a configuration to a trained policy in a run folder."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from concord.engines.defaults import GRPO
from concord.engines.pretrained import check_model, load_tokenizer
from concord.rewards import RewardSet
from concord.run.config import RunConfig
from concord.run.curves import draw_curves
from concord.run.data import load_rows
from concord.run.evaluate import Evaluation, evaluate
from concord.run.folder import BESIDE, check_run_folder, open_run_folder
from concord.run.live import LiveTable
from concord.run.paths import model_source
from concord.run.receivers import adapter, refusals, trainer_arguments
from concord.run.rewards import check_templates

if TYPE_CHECKING:
    from concord.engines.trl import ConcordTrainer

MODEL = "model"
ROLLOUTS = "rollouts"
CURVES = "curves.png"
METRICS = "metrics.jsonl"
EVALUATION = "evaluation.json"
FAILURES = "reward_failures.jsonl"
"""The first failure of each reward and kind, and how many there were; there is none if nothing failed."""


@dataclass(frozen=True)
class Trained:
    """What a run left behind.

    Attributes:
        folder: the run's.
        base, trained: on the held-out prompts, before and after; None without ``data.eval``.
    """

    folder: Path
    base: Evaluation | None
    trained: Evaluation | None


def train(config: RunConfig, *, console: Console, resume: bool = False) -> Trained:
    """Train as configured.

    The run folder gets the resolved configuration, the rollouts of every step (``rollouts/``), TRL's
    checkpoints, the metrics of every step (``metrics.jsonl``), their curves (``curves.png``), the
    policy (``model/``), and, with ``data.eval``, the evaluation of base and trained policy
    (``evaluation.json``).

    Args:
        config: of the run.
        console: where progress is shown, by the main process.
        resume: go on with the run in the folder, from its last checkpoint.

    Raises:
        ConfigError, RunFolderError, RewardError: before the first step wherever that can be known.
        ImportError: TRL or a part of it is not installed.
    """
    from accelerate import PartialState

    process = PartialState()
    if process.is_main_process:
        check_run_folder(config.out, config, resume)
    rewards = RewardSet(config.named_rewards())
    live = LiveTable(rewards.names, console)
    trainer = build(config, rewards, live)
    if process.is_main_process:
        open_run_folder(config.out, config, rewards, resume)
        for form, names in _by_form(rewards).items():
            console.print(f"{', '.join(names)}: {form}", style="dim", soft_wrap=True)
    process.wait_for_everyone()
    rewards.failures.keep(config.out / FAILURES)

    base = _read_base(config.out) if resume else None
    if base is None:
        base = held_out(config, trainer, rewards, console, "Evaluating the base policy")
        if process.is_main_process:
            write_evaluations(config.out, base=base)
    try:
        # A run that was stopped before its first checkpoint starts over.
        trainer.train(resume_from_checkpoint=True if resume and any(config.out.glob("checkpoint-*")) else None)
        trainer.save_model(str(config.out / MODEL))
        trained = held_out(config, trainer, rewards, console, "Evaluating the trained policy")
    finally:
        live.stop()
        rewards.close()
    if process.is_main_process:
        history = trainer.state.log_history
        (config.out / METRICS).write_text("".join(json.dumps(entry) + "\n" for entry in history))
        draw_curves(history, rewards.names, config.out / CURVES)
        write_evaluations(config.out, base=base, trained=trained)
    process.wait_for_everyone()
    return Trained(config.out, base, trained)


def finished(config: RunConfig) -> bool:
    """Whether the run in the configuration's folder has come to its end."""
    if config.data.eval is None:
        return (config.out / CURVES).exists()
    path = config.out / EVALUATION
    return path.exists() and "trained" in json.loads(path.read_text(encoding="utf-8"))


def build(config: RunConfig, rewards: RewardSet, live: LiveTable) -> ConcordTrainer:
    """The trainer that a configuration describes, with model and rows loaded; its course shows in ``live``."""
    from transformers import AutoModelForCausalLM, PrinterCallback

    from concord.engines.trl import ConcordConfig, ConcordTrainer

    args = trainer_arguments(
        ConcordConfig,
        {"report_to": "none", "logging_steps": 1, "disable_tqdm": True, **config.engine},
        output_dir=str(config.out),
        seed=config.seed,
        method=config.method.name,
        method_args=config.method.parameters,
        refill_rounds=config.refill_rounds,
        dump=str(config.out / ROLLOUTS),
        config_hash=config_hash(config),
    )
    lora = adapter(config.peft)
    source = model_source(config.model)
    tokenizer = load_tokenizer(source)
    init = GRPO.read(config.engine, "model_init_kwargs") or {}
    check_model(source, AutoModelForCausalLM, allow_missing=config.allow_missing_weights, **init)
    rows = load_rows(config.data, tokenizer, config.seed)
    check_templates(rewards.rewards, rows)
    with refusals("the trainer refuses this configuration", (ValueError, ImportError, NotImplementedError)):
        trainer = ConcordTrainer(
            model=source,
            reward_funcs=rewards,
            args=args,
            train_dataset=rows,
            processing_class=tokenizer,
            peft_config=lora,
            columns=config.column_functions(),
            callbacks=[live],
        )
    trainer.remove_callback(PrinterCallback)  # the table says it
    return trainer


def held_out(
    config: RunConfig, trainer: ConcordTrainer, rewards: RewardSet, console: Console, title: str
) -> Evaluation | None:
    """The trainer's policy on ``data.eval``, greedy; None if there is none. The main process does it."""
    if config.data.eval is None or not trainer.accelerator.is_main_process:
        return None
    return evaluate(
        trainer.accelerator.unwrap_model(trainer.model),
        trainer.processing_class,
        load_rows(config.data.eval, trainer.processing_class, config.seed),
        rewards,
        max_new_tokens=trainer.args.max_completion_length,
        console=console,
        title=title,
    )


def _by_form(rewards: RewardSet) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, form in rewards.forms.items():
        found.setdefault(form, []).append(name)
    return found


def config_hash(config: RunConfig) -> str:
    """Twelve hex digits that tell configurations apart; what plays no part in training plays none here."""
    content = config.model_dump(mode="json", exclude=BESIDE)
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]


def write_evaluations(folder: Path, **found: Evaluation | None) -> None:
    """Keep evaluations by name in the run folder."""
    content = {name: dataclasses.asdict(value) for name, value in found.items() if value is not None}
    if content:
        (folder / EVALUATION).write_text(json.dumps(content, indent=2) + "\n")


def _read_base(folder: Path) -> Evaluation | None:
    """The base policy's evaluation from before an interruption."""
    path = folder / EVALUATION
    return Evaluation(**json.loads(path.read_text())["base"]) if path.exists() else None
