"""What losses over whole groups share."""

from __future__ import annotations

import dataclasses
from typing import Self

import torch
from torch import Tensor

from concord.core.errors import BatchError
from concord.objectives.batch import PolicyBatch, Statistic, Totals
from concord.objectives.penalty import Penalty
from concord.objectives.reduce import SequenceMean, TokenMean


class WholeGroups:
    """What all of them answer an engine alike: the base of frozen dataclasses with a field ``penalties``."""

    penalties: tuple[Penalty, ...]

    @property
    def reads(self) -> frozenset[str]:
        """The columns that penalties read."""
        return frozenset().union(*(getattr(penalty, "reads", ()) for penalty in self.penalties))

    @property
    def statistics(self) -> frozenset[Statistic]:
        """What penalties read of the policy's distribution."""
        return frozenset().union(*(getattr(penalty, "statistics", ()) for penalty in self.penalties))

    @property
    def whole_groups(self) -> bool:
        """Yes."""
        return True

    @property
    def every_row(self) -> bool:
        """Whether a penalty acts where the advantage is 0."""
        return bool(self.penalties)

    @property
    def needs_reference(self) -> bool:
        """Whether a penalty reads the reference policy."""
        return any(penalty.needs_reference for penalty in self.penalties)

    def with_penalty(self, penalty: Penalty) -> Self:
        """The same objective with one more penalty."""
        return dataclasses.replace(self, penalties=(*self.penalties, penalty))  # type: ignore[type-var]


def peers(batch: PolicyBatch) -> Tensor:
    """``[B, B]`` bool: which rollouts answer the same prompt, each its own peer too.

    Raises:
        BatchError: the batch does not say, or its advantages differ along a response.
    """
    if batch.groups is None:
        raise BatchError("a loss over whole groups needs groups in the PolicyBatch")
    if batch.advantages.ndim != 1:
        raise BatchError(f"a loss over whole groups needs advantages [rollouts], got {tuple(batch.advantages.shape)}")
    return batch.groups[:, None] == batch.groups


def per_response(each: Tensor, totals: Totals) -> Tensor:
    """A loss a response ``[B]``, over the responses of the step."""
    return SequenceMean()(each[:, None], torch.ones_like(each[:, None], dtype=torch.bool), totals)


def penalised(loss: Tensor, penalties: tuple[Penalty, ...], batch: PolicyBatch, totals: Totals) -> Tensor:
    """The loss, and the penalties' means over the step's tokens."""
    for penalty in penalties:
        loss = loss + TokenMean()(penalty(batch), batch.mask, totals)
    return loss
