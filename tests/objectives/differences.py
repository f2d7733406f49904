"""A loss's gradient, and what it must be: central differences of a slow loss."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from concord.objectives import Objective, PolicyBatch, Totals

STEP = 1e-6


def gradient(objective: Objective, batch: PolicyBatch, totals: Totals | None = None) -> Tensor:
    return torch.autograd.grad(objective(batch, totals).loss, batch.logp)[0]


def assert_gradient(
    objective: Objective, batch: PolicyBatch, slow: Callable[[Tensor], float], *, tolerance: float = 1e-7
) -> None:
    """At every position; ``slow`` is the loss where the batch's ``logp`` is that."""
    found = gradient(objective, batch)
    assert (found != 0).any()
    for i in range(found.shape[0]):
        for t in range(found.shape[1]):
            ends = []
            for step in (STEP, -STEP):
                logp = batch.logp.detach().clone()
                logp[i, t] += step
                ends.append(slow(logp))
            assert found[i, t].item() == pytest.approx((ends[0] - ends[1]) / (2 * STEP), abs=tolerance)
