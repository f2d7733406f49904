"""How training on one token moves the likelihood of the correct responses."""

from __future__ import annotations

import torch
from torch import Tensor

from concord.core.errors import BatchError
from concord.core.groups import Groups


def token_scores(
    hidden: Tensor, probabilities: Tensor, chosen: Tensor, mask: Tensor, correct: Tensor, groups: Groups
) -> Tensor:
    """For each token, its kernel with all tokens of its group's correct responses, added up: ``[N, T]``.

        g[i, t] = onehot(chosen[i, t]) - probabilities[i, t]
        k((i, t), (j, s)) = <g[i, t], g[j, s]> * <hidden[i, t], hidden[j, s]>
        score[i, t] = sum of k((i, t), (j, s)) over the tokens s of correct responses j of the group

    High where pushing the token down also pushes correct responses down. The double sum is done as
    ``g^T M h`` with ``M = sum g h^T``, one matrix ``[V, H]`` a group; groups are done one after the other.

    Args:
        hidden: ``[N, T, H]`` final hidden states, of the position that predicts the token.
        probabilities: ``[N, T, V]`` the policy's probabilities of V tokens there. The V are those that the group
            generated, or any superset; they need not add up to 1.
        chosen: ``[N, T]`` int64, the sampled token's place among the V.
        mask: ``[N, T]`` bool, the tokens that the policy sampled; the scores elsewhere are 0.
        correct: ``[N]`` bool.
        groups: of the N responses.

    Raises: BatchError for shapes that do not fit.
    Source: NTHR, arXiv:2505.18830; the same kernel is that of THR, arXiv:2510.03669.

    Example:
        >>> scores = token_scores(torch.ones(1, 2, 1), torch.full((1, 2, 2), 0.5), torch.tensor([[0, 1]]),
        ...                       torch.tensor([[True, True]]), torch.tensor([True]), Groups.uniform(1, 1))
        >>> scores.tolist()
        [[0.0, 0.0]]
    """
    shape = mask.shape
    for name, x in (("hidden", hidden), ("probabilities", probabilities), ("chosen", chosen)):
        if x.shape[:2] != shape:
            raise BatchError(f"{name} must begin with {tuple(shape)} like mask, got {tuple(x.shape)}")
    if correct.shape != shape[:1] or len(groups) != shape[0]:
        raise BatchError(f"correct and groups must be of {shape[0]}, got {tuple(correct.shape)} and {len(groups)}")
    scores = hidden.new_zeros(shape)
    for p in range(groups.count):
        rows = groups.table[groups.there[:, p], p]
        residual = -probabilities[rows]
        residual = residual.scatter_add(2, chosen[rows][..., None], torch.ones_like(residual[..., :1]))
        there = mask[rows][..., None]  # what is beside it may be anything
        residual, states = torch.where(there, residual, 0), torch.where(there, hidden[rows], 0)
        right = correct[rows]
        summed = torch.einsum("itv,ith->vh", residual[right], states[right])
        scores[rows] = torch.einsum("itv,vh,ith->it", residual, summed, states)
    return scores
