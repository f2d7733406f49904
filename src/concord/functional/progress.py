"""Whether the last update helped, and what it is worth repeating."""

from __future__ import annotations

import torch
from torch import Tensor

from concord.core.groups import Groups
from concord.core.moments import group_sum


def progress(mean: Tensor, history: Tensor) -> Tensor:
    """How far a batch's mean reward lies above that of the batches before it, in deviations: a scalar.

        xi = (mean - mean(history)) / std(history)      std with Bessel's correction, 1 where it is below 1e-8

    Args:
        mean: 0-d, of the batch at hand.
        history: ``[K]``, NaN where there was no batch yet; with any NaN the answer is 0.

    Source: PIPO, arXiv:2604.00860. Its authors' code takes the population's deviation: xi is larger there by
    sqrt(K / (K - 1)), 7 % at K = 8.

    Example:
        >>> progress(torch.tensor(4.0), torch.tensor([1.0, 2.0, 3.0]))
        tensor(2.)
    """
    std = history.std()
    return torch.nan_to_num((mean - history.mean()) / torch.where(std < 1e-8, 1, std))


def shares(advantages: Tensor, groups: Groups) -> Tensor:
    """Advantages in units of their group's mean magnitude: ``[N] -> [N]``.

        a[n] = G * A[n] / sum_g |A|

    A group of zeros stays at exactly 0.

    Source: PIPO, arXiv:2604.00860; its authors add 1e-6 to the sum.
    """
    size = group_sum(advantages.abs()[:, None], groups)
    unit = torch.where(size > 0, size, 1) / groups.sizes[:, None]
    return advantages / groups.spread(unit)[:, 0]
