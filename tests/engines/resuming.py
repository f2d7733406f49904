"""The run of the resume tests, with everything in it that could go wrong; also the process that is killed.

Two optimisation steps and two passes over each generation batch, dynamic sampling, a chain that
remembers, AdamW, dropout, evaluation, and a data set that is through after every other generation.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback

from concord import Card, Chain, Method, Rollouts, Signal, Stage, register
from concord.core.catalogue import _ENTRIES
from concord.engines.trl import ConcordTrainer
from concord.objectives import PolicyObjective
from concord.stages import DropUniformGroups, Sum
from tests.engines import tiny

STEPS = 12


@dataclass(frozen=True)
class RunningBaseline(Stage):
    """Subtracts the running mean of all steps so far: its state decides every later advantage."""

    def step(self, signal: Signal, batch: Rollouts, state: Any) -> tuple[Signal, Any]:
        mean = signal.values.nanmean()
        after = {
            "mean": mean if state is None else 0.5 * (state["mean"] + mean),
            "seen": 1 if state is None else state["seen"] + 1,
        }
        return signal.to(signal.values - after["mean"]), after


def soon(completions: list[str], **_: Any) -> list[float]:
    """Rare enough to leave about half of the groups empty."""
    return [float("a" in text[:5]) for text in completions]


@contextmanager
def remembering_method() -> Iterator[None]:
    """The method "remembering", in the catalogue for as long as this lasts."""

    @register(Card("A chain with state", "", "A = r - running mean"))
    def remembering() -> Method:
        return Method(Chain((DropUniformGroups(), Sum(), RunningBaseline())), PolicyObjective())

    try:
        yield
    finally:
        del _ENTRIES["remembering"]


def trainer(folder: Path, **changes: Any) -> ConcordTrainer:
    defaults = {
        "method": "remembering", "rewards": [soon], "refill_rounds": 2, "optim": "adamw_torch",
        "learning_rate": 0.01, "lr_scheduler_type": "linear", "per_device_train_batch_size": 4,
        "gradient_accumulation_steps": 2, "steps_per_generation": 4, "num_iterations": 2, "max_steps": STEPS,
        "save_strategy": "steps", "save_steps": 1, "logging_steps": 5, "data": tiny.prompts(8),
        "model": tiny.model(attention_dropout=0.1), "eval_strategy": "steps", "eval_steps": 3,
        "per_device_eval_batch_size": 8, "options": {"eval_dataset": tiny.prompts(4)},
    }  # fmt: skip
    return tiny.trainer(folder, **defaults | changes)


def parameters(run: ConcordTrainer) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in run.model.state_dict().items()}


class Slow(TrainerCallback):
    """Gives the one who kills a chance to hit any part of a step."""

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        time.sleep(0.1)


if __name__ == "__main__":
    with remembering_method():
        run = trainer(Path(sys.argv[1]))
        run.add_callback(Slow())
        run.train()
