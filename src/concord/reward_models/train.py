"""From a configuration to trained and evaluated reward models."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from rich.console import Console

from concord.engines.defaults import REWARD_MODEL
from concord.engines.pretrained import check_model, in_base, load_tokenizer
from concord.reward_models.biases import label
from concord.reward_models.config import ObjectiveConfig, RewardModelConfig, SourceConfig
from concord.reward_models.evaluate import SetEvaluation, evaluate
from concord.reward_models.folder import (
    EVALUATION,
    METRICS,
    MODEL,
    PLOT,
    as_data,
    check_folder,
    open_folder,
    read_slope,
    write_slope,
)
from concord.reward_models.pairs import Pair, Pairs
from concord.reward_models.plot import draw
from concord.reward_models.progress import Bar
from concord.reward_models.read import load_pairs
from concord.reward_models.residual import length_slope
from concord.reward_models.rows import tokenised
from concord.reward_models.score import score
from concord.rewards.model import RewardModel
from concord.run.paths import model_source
from concord.run.receivers import adapter, trainer_arguments

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase
    from trl import RewardConfig

    from concord.reward_models.trainer import RewardModelTrainer

Found = dict[str, dict[str, SetEvaluation]]
Labels = dict[str, dict[str, list[int]]]

FITTED_ON = 2000
"""Pairs that a residual's slope is fitted on, at most."""


def train(config: RewardModelConfig, *, console: Console) -> Found:
    """Train a model for every objective, and evaluate it on every set of ``data.eval``.

    The run folder gets the resolved configuration, for every objective a folder with the model (one output, in
    safetensors) and what was logged, and ``evaluation.json`` and ``evaluation.png``.

    Returns:
        Evaluations by objective and set; empty without ``data.eval``.

    Raises:
        ConfigError, RunFolderError: before the first step wherever that can be known.
        ImportError: TRL or a part of it is not installed.
    """
    from accelerate import PartialState

    process = PartialState()
    if process.is_main_process:
        check_folder(config.out)
    _arguments(config, config.out)  # what TRL or PEFT refuses shows before anything is read
    adapter(config.peft, task_type="SEQ_CLS")
    pairs = _joined(config.data.train)
    fitted_on = _joined(config.data.calibrate) or pairs
    sets = eval_sets(config)
    labels = _labels(config, pairs)
    tokenizer = _tokenizer(config)
    if process.is_main_process:
        counts = {bias: Counter(map(str, found)) for biases in labels.values() for bias, found in biases.items()}
        open_folder(config, counts)
    process.wait_for_everyone()
    for name, objective in config.objectives.items():
        if objective.residual_of is None:
            _train_one(config, name, tokenizer, pairs, labels[name], console)
    if process.is_main_process:
        _fit_residuals(config, fitted_on, console)
    found: Found = {}
    if process.is_main_process and sets:
        found = evaluate_run(config, sets, console=console)
        write_evaluation(config.out, found)
    process.wait_for_everyone()
    return found


def evaluate_run(config: RewardModelConfig, sets: Mapping[str, Sequence[Pair]], *, console: Console) -> Found:
    """Evaluate the models of a run that has finished.

    Raises:
        ConfigError: a model or a slope is not there.
    """
    found: Found = {}
    for name, objective in config.objectives.items():
        slope = 0.0 if objective.residual_of is None else read_slope(config.out / name)
        found[name] = evaluate(_model(config, objective.residual_of or name), sets, slope=slope, console=console)
    return found


def load_model(config: RewardModelConfig, source: str | Path) -> RewardModel:
    """Load a model to evaluate, a folder or a hub id, in batches of ``engine.per_device_eval_batch_size``.

    Raises:
        ConfigError: as :class:`concord.rewards.model.RewardModel`.
        MissingExtra: TRL's default is needed, and TRL is not installed.
    """
    return RewardModel(source, batch_size=REWARD_MODEL.read(config.engine, "per_device_eval_batch_size"))


def eval_sets(config: RewardModelConfig) -> dict[str, tuple[Pair, ...]]:
    """The pairs to evaluate on, by name."""
    return {name: load_pairs(name, source).pairs for name, source in config.data.eval.items()}


def write_evaluation(folder: Path, found: Found) -> None:
    """Keep evaluations as JSON and as a picture."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / EVALUATION).write_text(json.dumps(as_data(found), indent=2) + "\n", encoding="utf-8")
    draw(found, folder / PLOT)


def _train_one(
    config: RewardModelConfig,
    name: str,
    tokenizer: PreTrainedTokenizerBase,
    pairs: Sequence[Pair],
    labels: Mapping[str, list[int]],
    console: Console,
) -> None:
    bar = Bar(f"Training {name}", console)
    trainer = build(config, config.objectives[name], config.out / name, tokenizer, pairs, labels)
    trainer.add_callback(bar)
    try:
        trainer.train()
    finally:
        bar.stop()
    _save(trainer, config.out / name)


def _joined(sources: Mapping[str, SourceConfig]) -> tuple[Pair, ...]:
    return Pairs.join([load_pairs(name, source) for name, source in sources.items()]).pairs


def _fit_residuals(config: RewardModelConfig, pairs: Sequence[Pair], console: Console) -> None:
    some = pairs[:: -(-len(pairs) // FITTED_ON)]
    for name, objective in config.objectives.items():
        if objective.residual_of is not None:
            scores = score(_model(config, objective.residual_of), some, console=console, title=f"Fitting {name}")
            write_slope(config.out / name, objective.residual_of, length_slope(scores))


def build(
    config: RewardModelConfig,
    objective: ObjectiveConfig,
    folder: Path,
    tokenizer: PreTrainedTokenizerBase,
    pairs: Sequence[Pair],
    labels: Mapping[str, list[int]],
) -> RewardModelTrainer:
    """The trainer of one objective, with model and rows loaded."""
    from transformers import AutoConfig, AutoModelForSequenceClassification, PrinterCallback

    from concord.reward_models.trainer import RewardModelTrainer

    args = _arguments(config, folder)
    source = model_source(config.model)
    init = {"num_labels": 1, **args.model_init_kwargs}
    allowed = config.allow_missing_weights
    check_model(source, AutoModelForSequenceClassification, allow_missing=allowed, needed=in_base, **init)
    positions = getattr(AutoConfig.from_pretrained(source).get_text_config(), "max_position_embeddings", None)
    limits = [n for n in (args.max_length, positions, tokenizer.model_max_length) if n is not None]
    trainer = RewardModelTrainer(
        model=source,
        args=args,
        train_dataset=tokenised(pairs, tokenizer, labels, min(limits)),
        processing_class=tokenizer,
        peft_config=adapter(config.peft, task_type="SEQ_CLS"),
        objective=objective.build(),
    )
    trainer.remove_callback(PrinterCallback)  # the bar says it
    return trainer


def _arguments(config: RewardModelConfig, folder: Path) -> RewardConfig:
    from trl import RewardConfig

    options: dict[str, Any] = {"report_to": "none", "disable_tqdm": True}
    if REWARD_MODEL.read(config.engine, "use_cpu") or not torch.accelerator.is_available():
        options |= {"bf16": False, "dataloader_pin_memory": False}
    options |= config.engine
    options["model_init_kwargs"] = {
        "use_safetensors": True,
        **(REWARD_MODEL.read(config.engine, "model_init_kwargs") or {}),
    }
    return trainer_arguments(RewardConfig, options, output_dir=str(folder), seed=config.seed)


def _save(trainer: RewardModelTrainer, folder: Path) -> None:
    """A checkpoint that loads by itself: an adapter is merged into its base."""
    if trainer.accelerator.is_main_process:
        history = trainer.state.log_history
        (folder / METRICS).write_text("".join(json.dumps(entry) + "\n" for entry in history), encoding="utf-8")
    model = trainer.accelerator.unwrap_model(trainer.model)
    if not hasattr(model, "merge_and_unload"):
        trainer.save_model(str(folder / MODEL))
    elif trainer.accelerator.is_main_process:
        model.merge_and_unload().save_pretrained(folder / MODEL)
        trainer.processing_class.save_pretrained(folder / MODEL)
    trainer.accelerator.wait_for_everyone()


def _labels(config: RewardModelConfig, pairs: Sequence[Pair]) -> Labels:
    """For every objective and each of its biases, a label a pair."""
    return {
        name: {
            bias: label(bias, function, objective.dir[bias].classes, pairs)
            for bias, function in objective.biases().items()
        }
        for name, objective in config.objectives.items()
    }


def _tokenizer(config: RewardModelConfig) -> PreTrainedTokenizerBase:
    tokenizer = load_tokenizer(model_source(config.model))
    template = config.chat_template
    if template is not None:
        tokenizer.chat_template = Path(template).read_text("utf-8") if template.endswith(".jinja") else template
    return tokenizer


def _model(config: RewardModelConfig, name: str) -> RewardModel:
    return load_model(config, config.out / name / MODEL)
