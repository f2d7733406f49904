"""Runs with PIPO's second update, and what their steps should be, from what was recorded of them."""

from __future__ import annotations

import dataclasses
import statistics
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial, wraps
from pathlib import Path
from typing import Any

import torch

from concord.engines.trl.improvement import ImprovingTrainer
from concord.engines.trl.trainer import ConcordTrainer
from tests.engines import tiny
from tests.engines.gradients import Gradient, Loss, Step, _gradient

PASS = 2  # optimisation steps, each of two micro-batches
CUT: dict[str, Any] = {
    "per_device_train_batch_size": 4, "gradient_accumulation_steps": 2, "steps_per_generation": 2 * PASS,
    "num_iterations": 2,
}  # fmt: skip

WINDOW, SLACK = 2, 0.5
OFFSETS = (0.0, 0.3, 1.0, -1.0)  # progress in the third batch, a setback in the fourth

TRAINER: Any = partial(ImprovingTrainer, window=WINDOW, slack=SLACK)


def trainer(folder: Path, cls: Any = TRAINER, **changes: Any) -> ConcordTrainer:
    """Three generation batches, unless told otherwise: the history is full at the third."""
    return tiny.trainer(folder, cls, **{"method": "grpo", "max_steps": 6 * PASS, **CUT, **changes})


def moving(reward: Callable[..., list[float]], means: list[float]) -> Callable[..., list[float]]:
    """The reward and the offset of the batch, which no group notices; the mean of each batch goes to ``means``."""

    @wraps(reward)
    def moved(completions: list[str], **_: Any) -> list[float]:
        scores = [score + OFFSETS[len(means)] for score in reward(completions)]
        means.append(statistics.mean(scores))
        return scores

    return moved


def by_hand(steps: list[Step], means: list[float], loss: Loss) -> Iterator[Gradient]:
    """The gradient of each step; empty where the first pass is left out.

    Args:
        steps: as :func:`tests.engines.gradients.record` returns them: with the batch at hand in both passes.
        means: the mean reward of each generation batch.
        loss: the base's.
    """
    rounds = [steps[start : start + 2 * PASS] for start in range(0, len(steps), 2 * PASS)]
    for t, here in enumerate(rounds):
        factor = phi(means[: t + 1])
        for place in range(PASS):
            yield again(here[place], rounds[t - 1], place, factor, loss) if factor else {}
        for step in here[PASS:]:
            yield _gradient(step, here[0].parameters, loss)


def phi(means: list[float]) -> float:
    """Of the last of these means."""
    *earlier, mean = means
    if len(earlier) < WINDOW:
        return 0.0
    history = earlier[-WINDOW:]
    xi = (mean - statistics.mean(history)) / statistics.stdev(history)
    return xi if xi >= 0 else SLACK * xi


def again(step: Step, before: list[Step], place: int, factor: float, loss: Loss) -> Gradient:
    """The gradient of one step on the batch before: its own rows, denominators and sampling policy, with C."""
    magnitude, size = Counter[int](), Counter[int]()
    for batch in (batch for second in before[PASS:] for batch in second.batches):
        for group, advantage in zip(batch["groups"].tolist(), batch["advantages"].tolist(), strict=True):
            magnitude[group] += abs(advantage)
            size[group] += 1
    batches = []
    for batch in before[PASS + place].batches:
        pairs = zip(batch["groups"].tolist(), batch["advantages"].tolist(), strict=True)
        C = [factor * size[g] * A / magnitude[g] if magnitude[g] else 0.0 for g, A in pairs]
        batches.append(batch | {"advantages": torch.tensor(C, dtype=torch.float64)})
    return _gradient(dataclasses.replace(step, batches=batches), before[0].parameters, loss)
