"""From a configuration to trained and evaluated reward models."""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from rich.console import Console

from concord.core.durable import write_whole
from concord.core.lock import locked
from concord.engines.defaults import REWARD_MODEL
from concord.engines.pretrained import check_model, in_base, load_tokenizer
from concord.reward_models.biases import label
from concord.reward_models.config import ObjectiveConfig, RewardModelConfig, SourceConfig
from concord.reward_models.evaluate import SetEvaluation, evaluate
from concord.reward_models.folder import (
    PLOT,
    RESIDUAL,
    as_data,
    check_folder,
    open_folder,
    read_found,
    read_slope,
    where,
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
from concord.run.folder import storage_faults
from concord.run.paths import model_source
from concord.run.receivers import adapter, trainer_arguments
from concord.run.state import EVALUATION, METRICS, MODEL, State, recover, training

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase
    from trl import RewardConfig

    from concord.reward_models.trainer import RewardModelTrainer

Found = dict[str, dict[str, SetEvaluation]]
Labels = dict[str, dict[str, list[int]]]

FITTED_ON = 2000
"""Pairs that a residual's slope is fitted on, at most."""


def train(config: RewardModelConfig, *, console: Console, resume: bool = False) -> Found:
    """Train a model for every objective, and evaluate it on every set of ``data.eval``.

    The run folder gets the resolved configuration, for every objective a folder with the model (one output, in
    safetensors) and what was logged, and ``evaluation.json`` and ``evaluation.png``. All inputs are read and checked
    before the first of these.

    Args:
        config: of the run.
        console: where progress is shown.
        resume: go on with the run in the folder from where it stands: models that are whole stay, the others are
            trained from their last complete checkpoint. If the run is finished, do nothing but read its evaluation.

    Returns:
        Evaluations by objective and set; empty without ``data.eval``.

    Raises:
        ConfigError, RunFolderError: before the first step wherever that can be known.
        ImportError: TRL or a part of it is not installed.
    """
    from accelerate import PartialState

    main = PartialState().is_main_process
    finished = main and check_folder(config, resume).state is State.FINISHED
    if _shared(finished and where(config).state is State.FINISHED):
        if main:
            console.print(f"{config.out} is finished: nothing to do", soft_wrap=True)
        return read_found(config.out) or {}
    arguments(config, config.out)  # what TRL or PEFT refuses shows before anything is read
    adapter(config.peft, task_type="SEQ_CLS")
    sets = eval_sets(config)
    found: Found = {}
    with storage_faults(config.out, partial(where, config, checksums=False)):
        work = _Work.of(config, console)
        with _opened(config, work, resume):
            for name, objective in config.objectives.items():
                if objective.residual_of is None:
                    work.train(name)
            if main:
                _fit_residuals(config, work.fitted_on, console)
            if main and sets:
                found = evaluate_run(config, sets, console=console)
                write_evaluation(config.out, found)
    return found


@dataclass
class _Work:
    """What reward models are trained on, read and checked; the first trainer is built with it."""

    config: RewardModelConfig
    console: Console
    pairs: Sequence[Pair]
    fitted_on: Sequence[Pair]
    labels: Labels
    tokenizer: PreTrainedTokenizerBase
    built: dict[str, RewardModelTrainer]

    @classmethod
    def of(cls, config: RewardModelConfig, console: Console) -> _Work:
        pairs = _joined(config.data.train)
        fitted_on = _joined(config.data.calibrate) or pairs
        work = cls(config, console, pairs, fitted_on, _labels(config, pairs), _tokenizer(config), {})
        trained = [name for name, objective in config.objectives.items() if objective.residual_of is None]
        for name in trained:
            arguments(config, config.out / name)
        work.built[trained[0]] = work._build(trained[0])
        return work

    def train(self, name: str) -> None:
        """Train one objective from where it stands, unless its model is whole."""
        folder = self.config.out / name
        found = training(folder, checksums=False)  # the damaged is set aside by now
        if found.state is State.TRAINED:
            return
        bar = Bar(f"Training {name}", self.console)
        trainer = self.built.pop(name, None) or self._build(name)
        trainer.add_callback(bar)
        try:
            trainer.train(resume_from_checkpoint=None if found.checkpoint is None else str(found.checkpoint.path))
        finally:
            bar.stop()
        if trainer.accelerator.is_main_process:
            history = trainer.state.log_history
            write_whole(folder / METRICS, "".join(json.dumps(entry) + "\n" for entry in history))
        trainer.save_whole(folder / MODEL)

    def _build(self, name: str) -> RewardModelTrainer:
        objective = self.config.objectives[name]
        return build(self.config, objective, self.config.out / name, self.tokenizer, self.pairs, self.labels[name])


@contextlib.contextmanager
def _opened(config: RewardModelConfig, work: _Work, resume: bool) -> Iterator[None]:
    """Hold the run folder and put it in order."""
    from accelerate import PartialState

    process = PartialState()
    with contextlib.ExitStack() as held:
        if process.is_main_process:
            config.out.mkdir(parents=True, exist_ok=True)
            held.enter_context(locked(config.out))
            if check_folder(config, resume).state is State.OPENING or not resume:
                counts = {b: Counter(map(str, found)) for labels in work.labels.values() for b, found in labels.items()}
                open_folder(config, counts)
            for line in recover(where(config)):
                work.console.print(line, style="yellow", soft_wrap=True)
        process.wait_for_everyone()
        yield
        process.wait_for_everyone()


def _shared(value: bool) -> bool:
    """Give every process what the main one has."""
    from accelerate.utils import broadcast_object_list

    return bool(broadcast_object_list([value])[0])


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
    draw(found, folder / PLOT)
    write_whole(folder / EVALUATION, json.dumps(as_data(found), indent=2) + "\n")  # last: it says that all is there


def _joined(sources: Mapping[str, SourceConfig]) -> tuple[Pair, ...]:
    return Pairs.join([load_pairs(name, source) for name, source in sources.items()]).pairs


def _fit_residuals(config: RewardModelConfig, pairs: Sequence[Pair], console: Console) -> None:
    some = pairs[:: -(-len(pairs) // FITTED_ON)]
    for name, objective in config.objectives.items():
        if objective.residual_of is not None and not (config.out / name / RESIDUAL).exists():
            scores = score(_model(config, objective.residual_of), some, console=console, title=f"Fitting {name}")
            write_slope(config.out / name, objective.residual_of, length_slope(scores))


def arguments(config: RewardModelConfig, folder: Path) -> RewardConfig:
    """TRL's arguments for the training in a folder."""
    from trl import RewardConfig

    options: dict[str, Any] = {"report_to": "none", "disable_tqdm": True}
    if REWARD_MODEL.read(config.engine, "use_cpu") or not torch.accelerator.is_available():
        options |= {"bf16": False, "dataloader_pin_memory": False}
    options |= config.engine
    given = REWARD_MODEL.read(config.engine, "model_init_kwargs") or {}
    options["model_init_kwargs"] = {"use_safetensors": True, **given}
    return trainer_arguments(RewardConfig, options, output_dir=str(folder), seed=config.seed)


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

    args = arguments(config, folder)
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
