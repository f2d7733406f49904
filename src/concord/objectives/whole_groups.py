"""What losses over whole groups share."""

from __future__ import annotations

import torch
from torch import Tensor

from concord.core.errors import BatchError
from concord.objectives.batch import PolicyBatch, Totals
from concord.objectives.penalty import Penalty
from concord.objectives.reduce import SequenceMean, TokenMean


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
