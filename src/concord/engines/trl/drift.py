"""How far the policy moved on the generation batch before."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class Drift:
    """The mean of (ratio - 1)^2 over the tokens of all optimisation steps on one generation batch.

    Attributes:
        total, weight: the sum, and the number of tokens.
    """

    total: float = 0.0
    weight: float = 0.0

    def add(self, total: float, weight: float) -> None:
        """What one optimisation step measured."""
        self.total, self.weight = self.total + total, self.weight + weight

    def column(self, count: int, device: torch.device) -> Tensor:
        """``[N]`` float32, the same for every rollout of the next batch; NaN where nothing was measured."""
        return torch.full((count,), self.total / self.weight if self.weight else math.nan, device=device)
