"""Rewards from embeddings: resemble what you belong to, and nothing else."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import normalize

from concord.core.errors import BatchError
from concord.core.groups import Groups


class Resemblance(NamedTuple):
    """The terms of GRACE's reward, each ``[N]`` and already divided by the temperature.

    Attributes:
        positive: cosine of query and positive.
        negative: minus the cosine of the group's query and its negative; one number a group.
        cluster: mean cosine to the group's other positives; 0 where there are none.
        cross: minus the mean, over the other groups, of the query's cosine to their nearest positive; 0 where
            there are none.
    """

    positive: Tensor
    negative: Tensor
    cluster: Tensor
    cross: Tensor

    def total(self, cluster: float = 0.2, cross: float = 0.2) -> Tensor:
        """The reward: ``[N]``, with these weights on the last two terms."""
        return self.positive + self.negative + cluster * self.cluster + cross * self.cross


def resemblance(
    query: Tensor, positive: Tensor, negative: Tensor, groups: Groups, temperature: float = 0.1
) -> Resemblance:
    """GRACE's terms for N rollouts of P prompts, in the form of the authors' code.

        pos[n] = cos(q_n, p_n) / T,   neg[n] = -cos(q_g, h_g) / T   of the group's first query and negative
        cluster[n] = mean_{m in g, m != n} cos(p_n, p_m) / T
        cross[n] = -mean_{j != g} max_{l in j} cos(q_n, p_l) / T

    With one query for the whole group these are the paper's; with a query for each rollout, as in the code, ``cross``
    credits a positive with the luck of the query it is paired with. ``negative``, and with one query ``cross``, do not
    vary within a group, so a group-mean baseline takes them out: they move no advantage.

    Args:
        query, positive, negative: ``[N, H]``, of any length but 0; rows are normalised here. A row of zeros, as of an
            empty text, resembles nothing: its cosines are 0.
        groups: the partition of the N rows.
        temperature: T; 0.1 in the authors' scripts.

    Raises: BatchError unless the shapes are one and as many rows as ``groups`` has.
    Source: arXiv:2510.04506, GasolSun36/GRACE@f636fdc (``HiddenRewardManager``).
    """
    if not query.shape == positive.shape == negative.shape or query.ndim != 2 or len(query) != len(groups):
        shapes = [tuple(x.shape) for x in (query, positive, negative)]
        raise BatchError(f"query, positive and negative must be [{len(groups)}, H] each, got {shapes}")
    query, positive, negative = (normalize(x, dim=1) for x in (query, positive, negative))
    apart = (query * negative).sum(1)
    return Resemblance(
        (query * positive).sum(1) / temperature,
        -groups.spread(groups.lay(apart)[0]) / temperature,
        _cluster(positive, groups) / temperature,
        -_nearest_elsewhere(query, positive, groups) / temperature,
    )


def _cluster(positive: Tensor, groups: Groups) -> Tensor:
    total = groups.spread((groups.lay(positive) * groups.there[:, :, None]).sum(0))
    others = groups.spread(groups.sizes) - 1
    return (positive * (total - positive)).sum(1) / others.clamp(min=1)


def _nearest_elsewhere(query: Tensor, positive: Tensor, groups: Groups) -> Tensor:
    similar = (query @ positive.T)[:, groups.table].masked_fill(~groups.there, -torch.inf)
    nearest = similar.amax(1)  # [N, P]
    own = groups.index[:, None] == torch.arange(groups.count, device=query.device)
    return nearest.masked_fill(own, 0).sum(1) / max(1, groups.count - 1)
