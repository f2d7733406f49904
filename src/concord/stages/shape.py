"""Reward shaping from facts about the rollout."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from concord.core.errors import ConfigError
from concord.core.rollouts import Rollouts
from concord.core.signal import Signal
from concord.core.stage import Stage


@dataclass(frozen=True)
class OverlongPenalty(Stage):
    """Take up to ``factor`` from responses that near the length limit.

        r[n] <- r[n] - factor * clamp((length[n] - (max_length - buffer)) / buffer, 0, 1)

    Nothing up to ``max_length - buffer`` tokens, the whole factor from ``max_length`` on.

    Shapes: [N, C] -> [N, C], each channel alike; stands after ``Sum``.  State: none.
    Columns: ``lengths``.  Metrics: ``mean`` penalty.
    Raises: ConfigError unless 0 < buffer <= max_length.
    Source: DAPO, arXiv:2503.14476 eq. 13.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"lengths"})
    max_length: int = 20480
    buffer: int = 4096
    factor: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.buffer <= self.max_length:
            raise ConfigError(f"need 0 < buffer <= max_length, got buffer {self.buffer}, max_length {self.max_length}")

    def apply(self, signal: Signal, batch: Rollouts) -> Signal:
        over = batch.column("lengths").to(signal.values.dtype) - (self.max_length - self.buffer)
        penalty = self.factor * (over / self.buffer).clamp(0, 1)
        return signal.to(signal.values - penalty[:, None], metrics={"mean": penalty.mean()})
