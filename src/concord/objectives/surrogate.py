"""What is maximised in place of the expected reward."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from concord.core.errors import ConfigError
from concord.objectives.batch import PolicyBatch


class Surrogate(Protocol):
    """Ratio ``[B, T]`` or ``[B, 1]`` and advantages, of shapes that broadcast, to the loss and where it was clipped."""

    def __call__(self, ratio: Tensor, advantages: Tensor, batch: PolicyBatch) -> tuple[Tensor, Tensor]: ...


@dataclass(frozen=True)
class Clip:
    """PPO's pessimistic clip, with separate bounds.

        gain = min(ratio * A, clamp(ratio, 1 - low, 1 + high) * A)
        gain = max(gain, dual * A)   where A < 0, if dual is given

    Source: PPO, arXiv:1707.06347; high > low is DAPO's clip-higher, arXiv:2503.14476; ``dual``
    bounds the loss of a bad response that became likely, arXiv:1912.09729.

    Raises: ConfigError unless 0 <= low <= 1, 0 <= high, and dual > 1.
    """

    low: float = 0.2
    high: float = 0.2
    dual: float | None = None

    def __post_init__(self) -> None:
        if not (0 <= self.low <= 1 and self.high >= 0):
            raise ConfigError(f"clip bounds must be 0 <= low <= 1 and high >= 0, got {self.low} and {self.high}")
        if self.dual is not None and self.dual <= 1:
            raise ConfigError(f"the dual clip must be above 1, got {self.dual}")

    def __call__(self, ratio: Tensor, advantages: Tensor, batch: PolicyBatch | None = None) -> tuple[Tensor, Tensor]:
        """The loss, and where it was clipped: ratio ``[B, T]`` or ``[B, 1]``, broadcast to the advantages."""
        plain = ratio * advantages
        gain = torch.minimum(plain, ratio.clamp(1 - self.low, 1 + self.high) * advantages)
        clipped = gain < plain
        if self.dual is not None:
            floor = self.dual * advantages
            clipped = clipped | ((advantages < 0) & (gain < floor))
            gain = torch.where(advantages < 0, torch.maximum(gain, floor), gain)
        return -gain, clipped
