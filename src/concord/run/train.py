"""From a configuration to a trained policy in a run folder."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from concord.core.durable import write_whole
from concord.core.lock import locked
from concord.engines.defaults import GRPO
from concord.engines.pretrained import check_model, load_tokenizer
from concord.rewards import RewardSet
from concord.run.config import RunConfig
from concord.run.curves import draw_curves
from concord.run.data import load_rows
from concord.run.evaluate import Evaluation, evaluate, read_evaluations
from concord.run.folder import BESIDE, check_run_folder, open_run_folder, storage_faults
from concord.run.live import LiveTable
from concord.run.paths import model_source
from concord.run.receivers import adapter, refusals, trainer_arguments
from concord.run.rewards import check_templates
from concord.run.state import (
    CURVES,
    EVALUATION,
    FAILURES,
    METRICS,
    MODEL,
    ROLLOUTS,
    Standing,
    State,
    recover,
    standing,
)

if TYPE_CHECKING:
    from datasets import Dataset

    from concord.engines.trl import ConcordTrainer


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
    (``evaluation.json``). All inputs are read and checked before the first of these. :mod:`concord.run.state` says
    what a stop at any instant leaves, and how it goes on.

    Args:
        config: of the run.
        console: where progress is shown, by the main process.
        resume: go on with the run in the folder from where it stands; if it is finished, do nothing.

    Raises:
        ConfigError, RunFolderError, RewardError: before the first step wherever that can be known.
        ImportError: TRL or a part of it is not installed.
    """
    from accelerate import PartialState

    main = PartialState().is_main_process
    if _shared(_finished_now(config, resume) if main else None):
        if main:
            console.print(f"{config.out} is finished: nothing to do", soft_wrap=True)
        return Trained(config.out, *(_kept(config.out, name) for name in ("base", "trained")))
    rewards = RewardSet(config.named_rewards())
    live = LiveTable(rewards.names, console)
    stands = functools.partial(standing, config.out, evaluated=config.data.eval is not None, checksums=False)
    try:
        with storage_faults(config.out, stands):
            trainer = build(config, rewards, live)
            rows = _held_out_rows(config, trainer)
            if main:
                for form, names in _by_form(rewards).items():
                    console.print(f"{', '.join(names)}: {form}", style="dim", soft_wrap=True)
            with _opened(config, rewards, console, resume) as found:
                rewards.failures.keep(config.out / FAILURES)
                return _go_on(config, trainer, rewards, rows, found, console)
    finally:
        live.stop()
        rewards.close()


def _finished_now(config: RunConfig, resume: bool) -> bool:
    """Check the folder, and whether the run in it has come to its end, every byte of its model included."""
    found = check_run_folder(config.out, config, resume)
    return found.state is State.FINISHED and finished(config, checksums=True)


def _shared(value: Any) -> Any:
    """Give every process what the main one has."""
    from accelerate.utils import broadcast_object_list

    return broadcast_object_list([value])[0]


@contextlib.contextmanager
def _opened(config: RunConfig, rewards: RewardSet, console: Console, resume: bool) -> Iterator[Standing]:
    """Hold the run folder and put it in order; every process gets where the run stands."""
    from accelerate import PartialState

    process = PartialState()
    with contextlib.ExitStack() as held:
        found = None
        if process.is_main_process:
            config.out.mkdir(parents=True, exist_ok=True)
            held.enter_context(locked(config.out))
            open_run_folder(config.out, config, rewards, resume)
            found = standing(config.out, evaluated=config.data.eval is not None)
            for line in recover(found):
                console.print(line, style="yellow", soft_wrap=True)
            if resume:
                console.print(found.sentence(), style="dim", soft_wrap=True)
        yield _shared(found)
        process.wait_for_everyone()


def _go_on(
    config: RunConfig,
    trainer: ConcordTrainer,
    rewards: RewardSet,
    rows: Dataset | None,
    found: Standing,
    console: Console,
) -> Trained:
    """Do what is left of a run from where it stands."""
    main = trainer.accelerator.is_main_process
    base = _kept(config.out, "base")
    if base is None:
        base = held_out(trainer, rewards, rows, console, "Evaluating the base policy")
        if main:
            write_evaluations(config.out, base=base)
    if found.state is State.TRAINED:
        trainer.take_weights(config.out / MODEL)
    else:
        trainer.train(resume_from_checkpoint=None if found.checkpoint is None else str(found.checkpoint.path))
        if main:  # before the model, whose presence says that they are there
            history = trainer.state.log_history
            write_whole(config.out / METRICS, "".join(json.dumps(entry) + "\n" for entry in history))
            draw_curves(history, rewards.names, config.out / CURVES)
        trainer.save_whole(config.out / MODEL)
    trained = held_out(trainer, rewards, rows, console, "Evaluating the trained policy")
    if main:
        write_evaluations(config.out, base=base, trained=trained)
    return Trained(config.out, base, trained)


def finished(config: RunConfig, *, checksums: bool = False) -> bool:
    """Whether the run in the configuration's folder has come to its end; by sizes, or by every byte of its model."""
    found = standing(config.out, evaluated=config.data.eval is not None, checksums=checksums)
    return found.state is State.FINISHED


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


def _held_out_rows(config: RunConfig, trainer: ConcordTrainer) -> Dataset | None:
    """The rows of ``data.eval``, checked; None if there are none. The main process reads them."""
    if config.data.eval is None or not trainer.accelerator.is_main_process:
        return None
    return load_rows(config.data.eval, trainer.processing_class, config.seed)


def held_out(
    trainer: ConcordTrainer, rewards: RewardSet, rows: Dataset | None, console: Console, title: str
) -> Evaluation | None:
    """The trainer's policy on rows, greedy; None without rows, as in all processes but the main one.

    The policy is evaluated in the precision of its weights, before training, after it, and after an interruption.
    """
    if rows is None:
        return None
    return evaluate(
        trainer.accelerator.unwrap_model(trainer.model, keep_fp32_wrapper=False),
        trainer.processing_class,
        rows,
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
        write_whole(folder / EVALUATION, json.dumps(content, indent=2) + "\n")


def _kept(folder: Path, name: str) -> Evaluation | None:
    """An evaluation from before an interruption."""
    return (read_evaluations(folder / EVALUATION) or {}).get(name)
