"""What the loss pays for moving the policy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from concord.core.errors import ConfigError
from concord.core.rollouts import Rollouts
from concord.core.signal import Signal
from concord.core.stage import Stage, State


@dataclass(frozen=True)
class VariancePrice(Stage):
    """The dual variable of a bound on the ratio's variance: a price for the loss. The signal passes through.

        price = max(0, price before + rate * (v - bound)),   v = mean of (ratio - 1)^2

    v is what the losses measured on the batch before, over all its tokens and optimisation steps. So the price rises
    while the policy moves further than the bound, falls while it does not, and stops at exactly 0.

    Shapes: [N, C] -> [N, C].  Units: reward a unit of variance.
    State: the price; ``initial`` before the first step.
    Columns: ``ratio_variance`` [N], v, the same number in every row; writes ``price`` [N], likewise.
    Metrics: ``price``; ``variance``, v.
    Degenerate: where v is not finite nothing was measured, as before the first step: the price stays, and the metric
    is 0.
    Raises: ConfigError if a parameter is negative.
    Source: R2VPO, arXiv:2601.03320, its dual step as in any primal-dual method; its constants are not in the sources
    at hand.

    Attributes:
        initial: the price before anything was measured.
        bound: the variance that costs nothing in the long run.
        rate: how much the price rises a step for each unit of variance above the bound; 0 = it stays.

    Example:
        >>> import torch
        >>> from concord import Chain, Groups, Rollouts
        >>> from concord.stages import Sum
        >>> batch = Rollouts(torch.eye(2), Groups.uniform(1, 2), ("a", "b"), {"ratio_variance": torch.full((2,), 0.03)})
        >>> Chain((Sum(), VariancePrice(initial=0.5)))(batch).columns["price"]
        tensor([0.7000, 0.7000])
    """

    needs: ClassVar[frozenset[str]] = frozenset({"ratio_variance"})
    writes: ClassVar[frozenset[str]] = frozenset({"price"})
    initial: float = 0.04
    bound: float = 0.01
    rate: float = 10.0

    def __post_init__(self) -> None:
        for name in ("initial", "bound", "rate"):
            if not (value := getattr(self, name)) >= 0:
                raise ConfigError(f"{name} must not be negative, got {value}")

    def init(self) -> State:
        """The initial price."""
        return self.initial

    def step(self, signal: Signal, batch: Rollouts, state: State) -> tuple[Signal, State]:
        values = signal.values
        before = torch.as_tensor(state, dtype=values.dtype, device=values.device)
        variance = batch.column("ratio_variance")[0].to(values.dtype)
        measured = variance.isfinite()
        after = (before + self.rate * (variance - self.bound)).clamp(min=0)
        price = torch.where(measured, after, before)
        metrics = {"price": price, "variance": torch.where(measured, variance, 0)}
        return signal.to(metrics=metrics).with_columns(price=price.repeat(len(values))), price
