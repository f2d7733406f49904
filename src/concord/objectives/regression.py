"""A surrogate that draws the ratio towards a target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from concord.objectives.batch import PolicyBatch


@dataclass(frozen=True)
class RatioRegression:
    """The distance of the ratio from its response's target, weighed by the advantage's size.

        loss = |ratio - target| * |A|

    The advantage says how much it matters, the column ``target`` ``[B]`` (or ``[B, T]``) where to: a stage such as
    :class:`concord.stages.BoundedTarget` writes it. The gradient has the same size on the way to the target and back;
    at the target it is 0.

    Metrics: as clipped counts a token whose ratio has reached its target or passed it, seen from 1.
    Raises: MissingColumn without that column.
    Source: GBPO, arXiv:2604.18578.
    """

    reads: ClassVar[frozenset[str]] = frozenset({"target"})

    def __call__(self, ratio: Tensor, advantages: Tensor, batch: PolicyBatch) -> tuple[Tensor, Tensor]:
        target = batch.column("target").to(ratio.dtype)
        target = target[:, None] if target.ndim == 1 else target
        reached = torch.where(target < 1, ratio <= target, ratio >= target)
        return (ratio - target).abs() * advantages.abs(), reached
