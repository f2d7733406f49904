"""What a penalty is computed from: the pairs of one or several micro-batches."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

LENGTH = "length_difference"
BIAS = "bias/"
"""Columns of the data set: how much longer the chosen answer is; and before a bias's name, its labels."""


@dataclass(frozen=True, eq=False)
class PairBatch:
    """N preference pairs.

    Attributes:
        states: ``[N, H]``, the chosen answer's state minus the rejected one's.
        margins: ``[N]``, the chosen answer's reward minus the rejected one's.
        lengths: ``[N]``, characters of the chosen answer minus those of the rejected one.
        labels: ``[N]`` integers by bias; -1 where the pair does not take part.
    """

    states: Tensor
    margins: Tensor
    lengths: Tensor
    labels: Mapping[str, Tensor]

    def __len__(self) -> int:
        return len(self.margins)

    def map(self, change: Callable[[Tensor], Tensor]) -> PairBatch:
        """The same with every tensor changed."""
        return PairBatch(
            change(self.states),
            change(self.margins),
            change(self.lengths),
            {name: change(labels) for name, labels in self.labels.items()},
        )

    def with_rows(self, start: int, rows: PairBatch) -> PairBatch:
        """The same with the rows from ``start`` on replaced; a gradient flows to those only."""

        def put(whole: Tensor, part: Tensor) -> Tensor:
            return torch.cat([whole[:start], part.to(whole.dtype), whole[start + len(part) :]])

        labels = {name: put(labels, rows.labels[name]) for name, labels in self.labels.items()}
        return PairBatch(
            put(self.states, rows.states), put(self.margins, rows.margins), put(self.lengths, rows.lengths), labels
        )

    @classmethod
    def join(cls, parts: Sequence[PairBatch]) -> PairBatch:
        """All rows, in order."""
        return cls(
            torch.cat([part.states for part in parts]),
            torch.cat([part.margins for part in parts]),
            torch.cat([part.lengths for part in parts]),
            {name: torch.cat([part.labels[name] for part in parts]) for name in parts[0].labels},
        )
