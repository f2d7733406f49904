"""How sure it is that the chosen response is the better one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
from torch import Tensor

from concord.core.errors import ConfigError
from concord.objectives.pairs import PairBatch

LABEL = "label"
"""The column of remembered labels: an engine keeps one a pair, 1 before the first visit."""


class Label(Protocol):
    """``[B]``, the probability that the chosen response is the better one; NaN = not known."""

    reads: ClassVar[frozenset[str]]
    """The columns that it reads."""

    def __call__(self, batch: PairBatch) -> Tensor: ...


@dataclass(frozen=True)
class FixedLabel:
    """``1 - flipped``, for every pair.

    Source: ``flipped`` > 0 is conservative DPO, Mitchell 2023, "A note on DPO with noisy preferences".

    Raises: ConfigError unless 0 <= flipped <= 1/2; beyond, the rejected responses would be preferred.
    """

    reads: ClassVar[frozenset[str]] = frozenset()
    flipped: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.flipped <= 0.5:
            raise ConfigError(f"the share of flipped labels must be between 0 and 1/2, got {self.flipped}")

    def __call__(self, batch: PairBatch) -> Tensor:
        return torch.full_like(batch.chosen.logp, 1 - self.flipped)


@dataclass(frozen=True)
class TeacherLabel:
    """``sigmoid(chosen_reward - rejected_reward)``: a teacher's rewards, as a probability.

    NaN where a reward is missing: the loss leaves that pair out. Source: DNO, arXiv:2404.03715, where a reward is
    the response's expected rate of winning against the policy of this iteration.
    """

    reads: ClassVar[frozenset[str]] = frozenset({"chosen_reward", "rejected_reward"})

    def __call__(self, batch: PairBatch) -> Tensor:
        gap = batch.column("chosen_reward") - batch.column("rejected_reward")
        return torch.sigmoid(gap.detach().to(batch.chosen.logp.dtype))


@dataclass(frozen=True)
class DynamicLabel:
    """The column ``label``, which follows the policy: pairs that it never comes to agree with are given up.

        label <- (1 - gamma) * label + gamma * sigmoid(margin)   after each visit

    Source: POWER-DL, arXiv:2412.09544.

    Raises: ConfigError unless 0 <= gamma <= 1.
    """

    reads: ClassVar[frozenset[str]] = frozenset({LABEL})
    gamma: float = 0.1

    def __post_init__(self) -> None:
        if not 0 <= self.gamma <= 1:
            raise ConfigError(f"gamma must be between 0 and 1, got {self.gamma}")

    def __call__(self, batch: PairBatch) -> Tensor:
        return batch.column(LABEL).detach().to(batch.chosen.logp.dtype)

    def after(self, batch: PairBatch, margin: Tensor) -> Tensor:
        """The labels at the next visit, of the margins (beta included) at this one: ``[B]``."""
        return torch.lerp(self(batch), margin.detach().sigmoid(), self.gamma)
