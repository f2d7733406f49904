"""Which rollouts gave the same answer."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import torch
from torch import Tensor


def answer_ids(answers: Sequence[Hashable]) -> Tensor:
    """Number final answers, equal ones alike: column "answers", ``[N]`` int64.

    Equal means equal as they stand: bring them to one form first where "1/2" and "0.5" are to be one answer. Rollouts
    without an answer (None) share a number, as if that were what they answered.

    Example:
        >>> answer_ids(["7", "8", "7", None])
        tensor([0, 1, 0, 2])
    """
    number = {answer: place for place, answer in enumerate(dict.fromkeys(answers))}
    return torch.tensor([number[answer] for answer in answers], dtype=torch.int64)


def answer_entropy(answers: Tensor, where: Tensor) -> Tensor:
    """How far a group is from one answer: ``[G, P] -> [P]``, in bits, float64.

        H = -sum_a p(a) log2 p(a),      p(a) the share of the group that answered a

    Args:
        answers: int64, the groups' answers along the leading axis.
        where: ``[G, P]`` bool, the rollouts that count.

    Degenerate: 0 where one or none counts.
    Source: COPO, arXiv:2508.04138; its authors add 1e-8 in the logarithm, here every p is above 0.

    Example:
        >>> answer_entropy(answer_ids(["7", "8", "7", "8"])[:, None], torch.ones(4, 1, dtype=torch.bool))
        tensor([1.], dtype=torch.float64)
    """
    same = (answers[:, None] == answers) & where[:, None] & where
    count = where.sum(0).clamp(min=1)
    # Summed over rollouts, an answer stands as often as it was given: the p in front of the logarithm.
    share = torch.where(where, same.sum(1).double() / count, 1)
    return share.log2().neg().sum(0) / count
