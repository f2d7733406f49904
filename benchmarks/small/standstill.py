"""Training at a standstill: a wider policy, responses that are made up, nothing learnt; and a clock for its steps."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import PrinterCallback, TrainerCallback

from concord.engines.trl import ConcordConfig, ConcordTrainer
from small import VOCABULARY, common, policy, prompts, tokenizer


class Clock(TrainerCallback):
    """CPU seconds of each optimisation step, what is sampled and scored before it included."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._start = time.process_time()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.times.append(time.process_time() - self._start)


def timed(trainer: ConcordTrainer) -> list[float]:
    """Train; CPU seconds of each step."""
    clock = Clock()
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(clock)
    trainer.train()
    return clock.times


def trainer(
    method: str, arguments: Mapping[str, Any], reward: Callable[..., list[float]], folder: Path, **changes: Any
) -> ConcordTrainer:
    """Two groups of sixteen a step, the same for every method: the cost without that of generation."""
    draw = torch.Generator().manual_seed(0)

    def rollouts(prompts: list[str], trainer: Any) -> dict[str, Any]:
        lengths = torch.randint(24, 65, (len(prompts),), generator=draw).tolist()
        ids = [torch.randint(2, VOCABULARY, (n,), generator=draw).tolist() for n in lengths]
        return {
            "prompt_ids": trainer.processing_class(text=prompts)["input_ids"],
            "completion_ids": ids,
            "logprobs": [[0.0] * n for n in lengths],
        }

    config = ConcordConfig(
        **common(str(folder)) | changes, method=method, method_args=dict(arguments), num_generations=16,
        per_device_train_batch_size=32, learning_rate=0.0, max_completion_length=64,
    )  # fmt: skip
    return ConcordTrainer(
        policy(256, 4), reward, config, prompts(32, 16, 32), processing_class=tokenizer(), rollout_func=rollouts
    )
