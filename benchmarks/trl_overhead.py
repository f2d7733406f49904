"""What Concord costs on top of TRL: the same method, the same seeds, step by step.

    python benchmarks/trl_overhead.py

GDPO is in TRL too (``multi_objective_aggregation="normalize_then_sum"``). Both trainers run it on
the same model, prompts and random numbers, in turn; they sample the same tokens and end in the same
place (printed). Timed is TRL's own ``step_time``: generation, rewards and update. A step is the same
work in both, so it is compared with itself; how TRL compares with its own next run is the noise.
"""

from __future__ import annotations

import os

os.environ.update(OMP_NUM_THREADS="1", HF_HUB_OFFLINE="1")

import itertools
import statistics
import tempfile
import warnings
from collections.abc import Callable
from typing import Any

import small
import torch
from torch import Tensor
from transformers import PrinterCallback
from trl import GRPOConfig, GRPOTrainer

from concord.engines.trl import ConcordConfig, ConcordTrainer

WIDTH, LAYERS, STEPS, RUNS = 128, 2, 6, 6
SIZES = {"num_generations": 8, "per_device_train_batch_size": 16, "gradient_accumulation_steps": 4}


def low(completions: list[str], **_: Any) -> list[float]:
    return [sum(int(word[1:]) < 64 for word in text.split()) / 16 for text in completions]


def varied(completions: list[str], **_: Any) -> list[float]:
    return [len(set(text.split())) / 32 for text in completions]


def even(completions: list[str], **_: Any) -> list[float]:
    return [sum(int(word[1:]) % 2 == 0 for word in text.split()) / 16 for text in completions]


def trl(options: dict[str, Any], **parts: Any) -> GRPOTrainer:
    return GRPOTrainer(args=GRPOConfig(**options, multi_objective_aggregation="normalize_then_sum"), **parts)


def concord(options: dict[str, Any], **parts: Any) -> GRPOTrainer:
    return ConcordTrainer(args=ConcordConfig(**options, method="gdpo", method_args={"numerics": "trl"}), **parts)


def run(make: Callable[..., GRPOTrainer], folder: str) -> tuple[list[float], Tensor]:
    """Seconds of each step but the first, and where the parameters ended."""
    options = small.common(folder) | SIZES | {"max_steps": STEPS, "max_completion_length": 32, "logging_steps": 1}
    trainer = make(
        options | {"learning_rate": 1e-4}, model=small.policy(WIDTH, LAYERS), reward_funcs=[low, varied, even],
        train_dataset=small.prompts(64, 8, 16), processing_class=small.tokenizer(),
    )  # fmt: skip
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    times = [entry["step_time"] for entry in trainer.state.log_history if "step_time" in entry]
    return times[1:], torch.cat([p.detach().flatten() for p in trainer.model.parameters()])


def paired(one: list[list[float]], other: list[list[float]]) -> str:
    """Median and quartiles of the ratios of the same step in neighbouring runs."""
    ratios = [a / b for mine, theirs in zip(one, other, strict=True) for a, b in zip(mine, theirs, strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4)
    return f"{middle:.3f} (quartiles {low:.3f} to {high:.3f})"


def main() -> None:
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    start = torch.cat([p.flatten() for p in small.policy(WIDTH, LAYERS).parameters()])
    theirs, ours = [], []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(RUNS):
            times, there = run(trl, folder)
            theirs.append(times)
            times, here = run(concord, folder)
            ours.append(times)
    median_theirs, median_ours = (1e3 * statistics.median(itertools.chain(*runs)) for runs in (theirs, ours))
    print(f"{small.machine()}; {RUNS} alternating runs of {STEPS} steps, seed 0")
    print(f"{len(start) / 1e6:.1f} M parameters, 64 rollouts a step (8 prompts x 8), up to 32 tokens, 3 rewards")
    print(f"  GRPOTrainer, normalize_then_sum  {median_theirs:7.1f} ms a step (median)")
    print(f"  ConcordTrainer, gdpo             {median_ours:7.1f} ms a step")
    print(f"  step by step, Concord / TRL      {paired(ours, theirs)}")
    print(f"  the same, TRL / its next run     {paired(theirs[:-1], theirs[1:])}")
    moved, apart = float((there - start).abs().max()), float((there - here).abs().max())
    print(f"  parameters moved by up to {moved:.1e}; those of the two trainers differ by up to {apart:.1e}")


if __name__ == "__main__":
    main()
