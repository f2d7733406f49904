"""What keeps the chosen responses likely, added to a preference loss.

Three ways to count tokens. Where all chosen responses have one length the last two are the same, and the first is that
length times as much.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from concord.core.errors import ConfigError
from concord.objectives.pairs import PairBatch


@dataclass(frozen=True)
class ChosenNll:
    """``-coef * mean over pairs of LP(chosen)``, summed over tokens. Source: RPO, arXiv:2405.16436.

    Raises: ConfigError for a negative coefficient.
    """

    coef: float

    def __post_init__(self) -> None:
        if self.coef < 0:
            raise ConfigError(f"the coefficient must not be negative, got {self.coef}")

    def __call__(self, batch: PairBatch) -> Tensor:
        """The term: a scalar."""
        return -self.coef * batch.chosen.logp.sum() / max(1, len(batch.chosen.logp))


@dataclass(frozen=True)
class ChosenMeanNll(ChosenNll):
    """``-coef * mean over pairs of LP(chosen) / length``: every response weighs the same.

    Source: RPO in its authors' OpenRLHF branch.
    """

    def __call__(self, batch: PairBatch) -> Tensor:
        """The term: a scalar."""
        chosen = batch.chosen
        return -self.coef * (chosen.logp / chosen.tokens).sum() / max(1, len(chosen.logp))


@dataclass(frozen=True)
class ChosenTokenNll(ChosenNll):
    """``-coef * sum of LP(chosen) / sum of lengths``: every token of the micro-batch weighs the same. Source: TRL."""

    def __call__(self, batch: PairBatch) -> Tensor:
        """The term: a scalar."""
        return -self.coef * batch.chosen.logp.sum() / batch.chosen.lengths.sum().clamp(min=1)
