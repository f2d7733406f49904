"""CLIPO against GRPO on the arithmetic task, over seeds; and what a step of it costs.

    python benchmarks/clipo.py [seeds, default 8]

Trains ``recipes/arithmetic.yaml`` with GRPO, with CLIPO (without warm-up), and with CLIPO under five times the bonus.
The runs of a seed have the base checkpoint, the prompts of every step and the seed of the sampling in common; what
differs is the bonus. Printed are the means, and the mean differences with a bootstrap interval over seeds. The cost of
a step is measured beside it: the same rollouts under GRPO and CLIPO, in turn, in CPU seconds of one thread.
"""

from __future__ import annotations

import os

os.environ.update(OMP_NUM_THREADS="1", HF_HUB_OFFLINE="1", TRL_EXPERIMENTAL_SILENCE="1")

import itertools
import random
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import small
import torch
from rich.console import Console
from small import standstill

from concord.engines.trl import ConcordTrainer
from concord.rewards import RewardSet
from concord.run.config import RowsConfig, RunConfig, load_config
from concord.run.data import load_rows
from concord.run.evaluate import evaluate
from concord.run.live import LiveTable
from concord.run.quiet import hush
from concord.run.train import build

SEEDS, STEPS, HELD_OUT, LAST, RESAMPLES = 8, 40, 512, 10, 10_000
METHODS = {
    "grpo": "method={name: grpo}",
    "clipo": "method={name: clipo, correct: correct, threshold: 0.5, dim: 64}",
    "clipo, five times": "method={name: clipo, correct: correct, threshold: 0.5, dim: 64, scale: 1.0, floor: -2.5}",
}

ROUNDS, TIMED, UNTIMED = 6, 6, 2
"""Of the measurement of costs: alternating runs, and in each the steps that count, after some that do not."""


# ---- What is learnt ----


def configured(method: str, seed: int, folder: Path) -> RunConfig:
    """The recipe that ships, with one of the methods; two base models ship, and take turns."""
    words = [METHODS[method], f"seed={seed}", f"model=builtin:arithmetic_task/seed{seed % 2}", f"out={folder}"]
    return load_config("arithmetic", [*words, f"engine.max_steps={STEPS}"])


def trained(method: str, seed: int) -> dict[str, float]:
    """One run, and what there is to say of it."""
    with tempfile.TemporaryDirectory() as folder:
        config = configured(method, seed, Path(folder) / "run")
        rewards = RewardSet(config.named_rewards())
        trainer = build(config, rewards, LiveTable(rewards.names, Console(quiet=True)))
        trainer.train()
        log = [entry["rewards/correct/mean"] for entry in trainer.state.log_history if "reward" in entry]
        found = {"training, mean of all steps": statistics.mean(log)}
        for split in ("test", "hard"):
            found |= answered(trainer, rewards, split, seed)
        return found | said(sorted(Path(trainer.args.dump).glob("*.parquet"))[-LAST:])


def answered(trainer: ConcordTrainer, rewards: RewardSet, split: str, seed: int) -> dict[str, float]:
    """Held-out sums, greedily and sampled as in training."""
    rows = load_rows(RowsConfig(path="builtin:arithmetic_task", split=split, size=HELD_OUT))

    def score(temperature: float) -> dict[str, float]:
        return evaluate(
            trainer.model, trainer.processing_class, rows, rewards,
            max_new_tokens=48, batch_size=256, temperature=temperature, seed=seed,
        ).rewards  # fmt: skip

    greedy, sampled = score(0.0), score(1.0)
    return {
        f"{split}, greedy": greedy["correct"],
        f"{split}, sampled": sampled["correct"],
        f"{split}, sound where correct": sampled["sound"] / max(sampled["correct"], 1 / HELD_OUT),
    }


def said(files: Sequence[Path]) -> dict[str, float]:
    """Of the last steps' rollouts: how many different sound derivations there are among a prompt's sound ones."""
    import pandas as pd

    shares = []
    for file in files:
        rollouts = pd.read_parquet(file)
        for _, group in rollouts[rollouts["reward/sound"] == 1].groupby("group"):
            shares.append(group["completion"].nunique() / len(group))
    return {"training, distinct derivations": statistics.mean(shares)}


def interval(differences: Sequence[float]) -> tuple[float, float]:
    """Where 95 % of the means of resampled differences lie."""
    rng = random.Random(0)
    means = sorted(statistics.mean(rng.choices(differences, k=len(differences))) for _ in range(RESAMPLES))
    return means[round(0.025 * RESAMPLES)], means[round(0.975 * RESAMPLES) - 1]


def compare(seeds: int) -> None:
    runs: list[Mapping[str, dict[str, float]]] = []
    for seed in range(seeds):
        runs.append({method: trained(method, seed) for method in METHODS})
        scores = ", ".join(f"{method} {found['test, greedy']:.3f}" for method, found in runs[-1].items())
        print(f"  seed {seed}: test, greedy: {scores}", file=sys.stderr, flush=True)
    print(f"accuracy, {seeds} paired seeds, {STEPS} steps of 8 prompts x 16 rollouts, {HELD_OUT} held-out sums a split")
    for method in list(METHODS)[1:]:
        print(f"  {method:32s} {'grpo':>7s} {'this':>7s} {'difference':>11s}   95 % of bootstrap means  higher in")
        for name in runs[0][method]:
            before, after = ([run[arm][name] for run in runs] for arm in ("grpo", method))
            differences = [b - a for a, b in zip(before, after, strict=True)]
            low, high = interval(differences)
            print(
                f"    {name:30s} {statistics.mean(before):7.3f} {statistics.mean(after):7.3f}"
                f" {statistics.mean(differences):+11.3f}   {low:+.3f} to {high:+.3f}"
                f"         {sum(d > 0 for d in differences)} of {seeds}"
            )


# ---- What it costs ----


def recipe(method: str, folder: Path, changes: Mapping[str, Any]) -> ConcordTrainer:
    """The recipe at a standstill: nothing is learnt, so both methods meet the same rollouts."""
    config = configured(method, 0, folder)
    engine = config.engine | {"learning_rate": 0.0, "max_steps": UNTIMED + TIMED} | dict(changes)
    rewards = RewardSet(config.named_rewards())
    config = config.model_copy(update={"engine": engine})
    return build(config, rewards, LiveTable(rewards.names, Console(quiet=True)))


def wide(method: str, folder: Path, changes: Mapping[str, Any]) -> ConcordTrainer:
    """A wider model whose responses are made up: the cost without that of generation."""

    def correct(completions: list[str], **_: Any) -> list[float]:
        return [float(len(text) % 3 == 0) for text in completions]

    arguments = {} if method == "grpo" else {"correct": "correct", "threshold": 0.5}
    return standstill.trainer(method, arguments, correct, folder, max_steps=UNTIMED + TIMED, **changes)


SETTINGS: Mapping[str, tuple[Any, Mapping[str, Any]]] = {
    "the recipe, one step a generation": (recipe, {}),
    "the recipe, two steps a generation": (recipe, {"num_iterations": 2}),
    "4.3 M parameters, without generation": (wide, {}),
    "the same, two steps a generation": (wide, {"num_iterations": 2}),
}
"""With two steps TRL passes over the rollouts itself, for the old log-probabilities: the states are taken there."""


def cost(make: Any, method: str, changes: Mapping[str, Any]) -> list[float]:
    """CPU seconds of a few steps."""
    with tempfile.TemporaryDirectory() as folder:
        return standstill.timed(make(method, Path(folder) / "run", changes))[UNTIMED:]


def costs() -> None:
    print(f"CPU seconds of a step, {ROUNDS} alternating runs of {TIMED} steps, seed 0")
    for name, (make, changes) in SETTINGS.items():
        grpo, clipo = [], []
        for _ in range(ROUNDS):
            grpo.append(cost(make, "grpo", changes))
            clipo.append(cost(make, "clipo", changes))
        print(f"  {name:38s} grpo {1e3 * median(grpo):7.1f} ms, clipo {1e3 * median(clipo):7.1f} ms")
        print(f"    step by step, clipo / grpo           {ratios(clipo, grpo)}")
        print(f"    the same, grpo / its next run        {ratios(grpo[:-1], grpo[1:])}", flush=True)


def median(runs: Sequence[Sequence[float]]) -> float:
    return statistics.median(itertools.chain(*runs))


def ratios(one: Sequence[Sequence[float]], other: Sequence[Sequence[float]]) -> str:
    """Median and quartiles of the ratios of the same step in neighbouring runs."""
    found = [a / b for mine, theirs in zip(one, other, strict=True) for a, b in zip(mine, theirs, strict=True)]
    low, middle, high = statistics.quantiles(found, n=4)
    return f"{middle:.3f} (quartiles {low:.3f} to {high:.3f})"


def main() -> None:
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    hush()
    start = time.perf_counter()
    print(small.machine(), flush=True)
    costs()
    compare(int(sys.argv[1]) if len(sys.argv) > 1 else SEEDS)
    print(f"{(time.perf_counter() - start) / 60:.0f} minutes", file=sys.stderr)


if __name__ == "__main__":
    main()
