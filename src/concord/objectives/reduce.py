"""From a loss per token to the loss of the step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from concord.core.errors import ConfigError
from concord.objectives.batch import Totals


class Reduce(Protocol):
    """``per_token [B, T]`` under ``mask [B, T]``, with the step's denominators, to a scalar."""

    def __call__(self, per_token: Tensor, mask: Tensor, totals: Totals) -> Tensor: ...


@dataclass(frozen=True)
class TokenMean:
    """``sum(loss) / tokens``: every token weighs the same. Source: DAPO, arXiv:2503.14476."""

    def __call__(self, per_token: Tensor, mask: Tensor, totals: Totals) -> Tensor:
        return torch.where(mask, per_token, 0).sum() / _at_least_one(totals.tokens)


@dataclass(frozen=True)
class SequenceMean:
    """``sum_i(mean_t(loss)) / sequences``: every response weighs the same. Source: GRPO, arXiv:2402.03300."""

    def __call__(self, per_token: Tensor, mask: Tensor, totals: Totals) -> Tensor:
        each = torch.where(mask, per_token, 0).sum(1) / mask.sum(1).clamp(min=1)
        return each.sum() / _at_least_one(totals.sequences)


@dataclass(frozen=True)
class FixedLength:
    """``sum(loss) / (sequences * length)``: a constant in place of each response's own length.

    Source: Dr. GRPO, arXiv:2503.20783, as in TRL. (verl divides by its padded width, and not by
    the number of sequences.)

    Raises: ConfigError unless length > 0.
    """

    length: int

    def __post_init__(self) -> None:
        if self.length <= 0:
            raise ConfigError(f"length must be positive, got {self.length}")

    def __call__(self, per_token: Tensor, mask: Tensor, totals: Totals) -> Tensor:
        return torch.where(mask, per_token, 0).sum() / (_at_least_one(totals.sequences) * self.length)


def _at_least_one(count: Tensor | int) -> Tensor | int:
    return count.clamp(min=1) if isinstance(count, Tensor) else max(count, 1)
