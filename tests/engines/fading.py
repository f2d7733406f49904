"""A method that tells tokens apart and writes a column."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from concord import Chain, Method, Rollouts, Stage
from concord.core.catalogue import _ENTRIES, Card, register
from concord.core.signal import Signal
from concord.engines.trl import ConcordTrainer
from concord.objectives import PolicyBatch, PolicyObjective, TokenMean
from concord.stages import DropUniformGroups, GroupNormalize, Sum, Weigh


@dataclass(frozen=True)
class Fade(Stage):
    """A token's advantage halves with every token before it; half of it stands in a column."""

    needs: ClassVar[frozenset[str]] = frozenset({"response_mask"})
    writes: ClassVar[frozenset[str]] = frozenset({"half"})

    def apply(self, signal: Signal, batch: Rollouts) -> Signal:
        mask = batch.column("response_mask")
        share = 0.5 ** torch.arange(mask.shape[1], device=mask.device, dtype=signal.values.dtype)
        tokens = torch.where(mask, signal.values[:, :1] * share, 0)
        return signal.to(token_values=tokens).with_columns(half=tokens / 2)


@dataclass(frozen=True)
class MinusHalf:
    """Policy gradient with the advantages less the column."""

    reads: ClassVar[frozenset[str]] = frozenset({"half"})

    def __call__(self, ratio: Tensor, advantages: Tensor, batch: PolicyBatch) -> tuple[Tensor, Tensor]:
        loss = -ratio * (advantages - batch.columns["half"])
        return loss, torch.zeros_like(loss, dtype=torch.bool)


@contextmanager
def entered() -> Iterator[str]:
    """The name of the method, which is in the catalogue meanwhile."""

    @register(Card("Fades", "0000.00000", "A / 2^t", kind="loss"))
    def fading(*, weights: Mapping[str, float] | tuple[()] = ()) -> Method:
        chain = Chain((DropUniformGroups(), Weigh(weights), Sum(), GroupNormalize(), Fade()))
        return Method(chain, PolicyObjective(surrogate=MinusHalf(), reduce=TokenMean()))

    try:
        yield "fading"
    finally:
        del _ENTRIES["fading"]


class Measured(ConcordTrainer):
    """Remembers how long the longest response was each time that rollouts of all processes are put together."""

    def _rollouts(self, output: Any) -> Rollouts:
        self.widths = [*getattr(self, "widths", []), output["completion_ids"].shape[1]]
        return super()._rollouts(output)
