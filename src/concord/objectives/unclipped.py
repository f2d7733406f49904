"""The surrogate without a clip."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from concord.objectives.batch import PolicyBatch


@dataclass(frozen=True)
class Unclipped:
    """The importance-weighted advantage, as it is.

        loss = -ratio * A

    On policy its gradient is REINFORCE's. Nothing holds the ratio near 1: that is a penalty's work, such as
    :class:`concord.objectives.RatioVariance`.
    """

    def __call__(self, ratio: Tensor, advantages: Tensor, batch: PolicyBatch | None = None) -> tuple[Tensor, Tensor]:
        loss = -ratio * advantages
        return loss, torch.zeros_like(loss, dtype=torch.bool)
