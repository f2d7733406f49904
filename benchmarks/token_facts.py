"""What it costs that a method asks for more than rewards: a step of it against one of GRPO.

    python benchmarks/token_facts.py

4.3 M parameters, 256 words, responses that are made up: without the cost of generation, which usually is most of a
step, so the ratios of whole runs are nearer to 1. Alternating runs, CPU seconds of one thread, nothing learnt.
"""

from __future__ import annotations

import os

os.environ.update(OMP_NUM_THREADS="1", HF_HUB_OFFLINE="1", TRL_EXPERIMENTAL_SILENCE="1")

import itertools
import statistics
import tempfile
import warnings
from pathlib import Path
from typing import Any

import torch
from small import machine, standstill

from concord.run.quiet import hush

METHODS: dict[str, tuple[str, dict[str, Any]]] = {
    "grpo": ("nothing", {}),
    "dcpo": ("old_logp, tempered_logp", {"correct": "right", "threshold": 0.5}),
    "rover": ("old_mean_logp; mean_logp", {}),
    "nthr": ("token_scores", {}),
    "ppo": ("states, and a critic", {}),
    "dhpo_entropy": ("the entropy", {}),
}
ROUNDS, TIMED, UNTIMED = 5, 5, 2
"""Alternating runs, and in each the steps that count, after some that do not."""


def right(completions: list[str], **_: Any) -> list[float]:
    return [float(len(text) % 3 == 0) for text in completions]


def run(method: str) -> list[float]:
    with tempfile.TemporaryDirectory() as folder:
        arguments = METHODS[method][1]
        trainer = standstill.trainer(method, arguments, right, Path(folder), max_steps=UNTIMED + TIMED)
        return standstill.timed(trainer)[UNTIMED:]


def main() -> None:
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    times: dict[str, list[list[float]]] = {method: [] for method in METHODS}
    hush()
    for _ in range(ROUNDS):
        for method in METHODS:
            times[method].append(run(method))
    print(f"A step without generation, {ROUNDS} alternating runs of {TIMED} steps, seed 0, {machine()}")
    print(f"  {'':13s} {'asks for':26s} {'ms':>7s}   to grpo's, median and quartiles")
    for method, (asks, _) in METHODS.items():
        pairs = zip(itertools.chain(*times[method]), itertools.chain(*times["grpo"]), strict=True)
        low, middle, high = statistics.quantiles([mine / grpo for mine, grpo in pairs], n=4)
        median = 1e3 * statistics.median(itertools.chain(*times[method]))
        print(f"  {method:13s} {asks:26s} {median:7.1f}   {middle:.2f} ({low:.2f} to {high:.2f})")


if __name__ == "__main__":
    main()
