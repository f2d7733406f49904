"""What of a generation step goes into TRL's metrics."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from concord.core.signal import Outcome
from concord.core.status import STATUSES
from concord.engines.trl.rewards import Rewards

Metrics = dict[str, list[float]]
"""TRL's, by name: what is appended is averaged when it is logged."""


def log_outcome(
    metrics: Metrics, advantages: deque[Any], outcome: Outcome, conflict: Outcome, learnt: Mapping[str, Tensor]
) -> None:
    """What the method made of the rollouts, what the rewards do to each other, and what a learner measured.

    Args:
        metrics: to append to.
        advantages: TRL's log of them, which holds its own: they are replaced.
        outcome: of the method's chain.
        conflict: of a chain that measures conflicts, on the same rollouts.
        learnt: the learner's metrics; empty if there is none.
    """
    measured = {
        **outcome.metrics,
        "conflict/mixed": conflict.metrics["measure_conflicts/mixed"],
        "conflict/cancelled": conflict.metrics["measure_conflicts/cancelled"],
        "kept": outcome.keep.float().mean(),
        "empty_groups": outcome.empty_groups.float().mean(),
        **{f"learner/{name}": value for name, value in learnt.items()},
    }
    values = torch.stack([value.float() for value in measured.values()]).tolist()
    for name, value in zip(measured, values, strict=True):
        metrics[f"concord/{name}"].append(value)
    for _ in range(min(len(advantages), len(outcome.keep))):
        advantages.pop()
    advantages.extend(outcome.advantages.tolist())


def log_rewards(
    metrics: Metrics, rewards: Rewards, weights: Mapping[str, float], statuses: Tensor, opened: Tensor
) -> None:
    """The shares of scores that are none, by reason; the weights in force; for how many rollouts a gate opened."""
    for k, name in enumerate(rewards.names):
        counts = torch.bincount(statuses[:, k].long(), minlength=len(STATUSES)).tolist()
        for status, count in list(zip(STATUSES, counts, strict=True))[1:]:
            metrics[f"rewards/{name}/{status.replace(' ', '_')}"].append(count / len(statuses))
        metrics[f"concord/weight/{name}"].append(weights[name])
        if name in rewards.gates.names:
            metrics[f"concord/gate/{name}"].append(opened[:, k].float().mean().item())
