"""Preference pairs of all sorts, made on the fly."""

from __future__ import annotations

import torch
from torch import Tensor

from concord.objectives import PairBatch, Responses


def make_pairs(seed: int = 0, count: int = 7, dtype: torch.dtype = torch.float64) -> tuple[PairBatch, Tensor, Tensor]:
    """Pairs with every column, and the leaves that carry gradient, the chosen and the rejected log-probabilities."""
    generator = torch.Generator().manual_seed(seed)

    def draw(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(count, generator=generator, dtype=torch.float64).to(dtype)

    sides, leaves = [], []
    for _ in range(2):
        lengths = torch.randint(1, 9, (count,), generator=generator)
        logp = (draw(-3, -0.1) * lengths).requires_grad_()
        sides.append(Responses(logp, lengths, logp.detach() + draw(-2, 2)))
        leaves.append(logp)
    columns = {"chosen_reward": draw(0.5, 1), "rejected_reward": draw(0, 0.5), "label": draw(0.6, 1)}
    return PairBatch(*sides, columns), leaves[0], leaves[1]


def take(batch: PairBatch, rows: Tensor) -> PairBatch:
    """Some of the pairs, in this order."""

    def of(side: Responses) -> Responses:
        return Responses(side.logp[rows], side.lengths[rows], None if side.ref_logp is None else side.ref_logp[rows])

    return PairBatch(of(batch.chosen), of(batch.rejected), {name: x[rows] for name, x in batch.columns.items()})
