"""What chance alone gives: the same scores, each reward shuffled within its groups."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import torch
from torch import Tensor

from concord.core.groups import Groups
from concord.functional.conflict import mixed_sign
from concord.report.measure import Measured
from concord.report.tally import ROUNDING

SHUFFLES = 8
"""How often a batch is shuffled."""

OPPOSED = -1e-6
"""A correlation inside a group below this is one; balanced 0/1 scores give 0 up to rounding."""


@dataclass(frozen=True, eq=False)
class Chance:
    """What the same scores give when they know nothing of each other: means over shuffles.

    Attributes:
        net: ``[N]``, |S|; only its sums over groups mean something.
        mixed: 0-d, how many rollouts of mixed sign.
        opposed: ``[K, K]``, how many groups with a correlation below 0.
    """

    net: Tensor
    mixed: Tensor
    opposed: Tensor

    @classmethod
    def of(cls, m: Measured) -> Chance:
        """The order is drawn from the batch's first run and step: the same dump, the same numbers."""
        first = m.batch.spans[0]
        seed = zlib.crc32(f"{first.run}/{first.step}".encode())
        size = m.weights.abs()
        net, mixed = torch.zeros_like(m.net), m.net.new_zeros(())
        opposed = m.net.new_zeros(len(size), len(size))
        for number in range(SHUFFLES):
            shuffled = shuffle(m.pulls, m.groups, seed + number)
            net += (shuffled * size).sum(1).abs() / SHUFFLES
            mixed += mixed_sign(shuffled * size).sum() / SHUFFLES
            opposed += (group_correlations(shuffled, m.groups) < OPPOSED).sum(0) / SHUFFLES
        return cls(net, mixed, opposed)


def shuffle(values: Tensor, groups: Groups, seed: int) -> Tensor:
    """Permute each column of ``[N, C]`` within groups, each on its own; the same seed, the same order."""
    block = groups.lay(values)
    keys = torch.rand(block.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    keys = torch.where(groups.there[..., None], keys, torch.inf)  # padding stays last
    return groups.unlay(block.gather(0, keys.argsort(0)))


def group_correlations(z: Tensor, groups: Groups) -> Tensor:
    """``[N, C] -> [P, C, C]``: correlation of the columns inside each group; NaN where one does not vary.

    The columns are centred in their groups already; a score that is missing counts as the mean, 0.
    """
    block = groups.lay(z) * groups.there[..., None]
    products = torch.einsum("gpc,gpd->pcd", block, block)
    size = products.diagonal(dim1=1, dim2=2)
    varies = size > ROUNDING
    size = torch.where(varies, size, torch.nan).sqrt()
    return products / (size[:, :, None] * size[:, None, :])
