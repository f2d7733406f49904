"""TRL's own trainer and Concord's on the same steps: what one costs on top of the other."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer, PrinterCallback
from trl import GRPOConfig, GRPOTrainer

from concord.engines.trl.config import ConcordConfig
from concord.engines.trl.trainer import ConcordTrainer

SAME: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "grpo": ({"loss_type": "grpo"}, {}),
    "gdpo": ({"multi_objective_aggregation": "normalize_then_sum"}, {}),
}
"""TRL's options, and Concord's parameters, by method: the same computation in both."""


@dataclass(frozen=True)
class Setting:
    """What both trainers run on.

    Attributes:
        model: a folder.
        rows: training data with "prompt", and what the rewards read.
        rewards: functions in TRL's form.
        prompts, group: of a step.
        steps: of a run.
        limit: tokens of a response.
    """

    model: Path
    rows: Sequence[dict[str, Any]]
    rewards: Sequence[Any]
    prompts: int = 8
    group: int = 8
    steps: int = 5
    limit: int = 48


@dataclass(frozen=True, eq=False)
class Ran:
    """Seconds of each step but the first, as TRL times them; and the parameters at the end, flat."""

    seconds: list[float]
    parameters: Tensor


def run(setting: Setting, method: str, *, concord: bool) -> Ran:
    """One run of TRL's trainer, or of Concord's, from the same seed."""
    trl_options, parameters = SAME[method]
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        options = _options(setting, folder)
        parts: dict[str, Any] = {
            "model": AutoModelForCausalLM.from_pretrained(setting.model, dtype="float32"),
            "reward_funcs": list(setting.rewards),
            "train_dataset": Dataset.from_list(list(setting.rows)),
            "processing_class": AutoTokenizer.from_pretrained(setting.model),
        }
        trainer: GRPOTrainer = (
            ConcordTrainer(
                args=ConcordConfig(**options, method=method, method_args={"numerics": "trl", **parameters}), **parts
            )
            if concord
            else GRPOTrainer(args=GRPOConfig(**options, **trl_options), **parts)
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
        seconds = [entry["step_time"] for entry in trainer.state.log_history if "step_time" in entry]
        return Ran(seconds[1:], torch.cat([p.detach().flatten() for p in trainer.model.parameters()]))


def _options(setting: Setting, folder: str) -> dict[str, Any]:
    return {
        "output_dir": folder, "use_cpu": True, "bf16": False, "gradient_checkpointing": False, "report_to": [],
        "save_strategy": "no", "disable_tqdm": True, "dataloader_pin_memory": False, "seed": 0, "logging_steps": 1,
        "num_generations": setting.group, "per_device_train_batch_size": setting.prompts * setting.group,
        "max_steps": setting.steps, "max_completion_length": setting.limit, "learning_rate": 1e-4,
    }  # fmt: skip
