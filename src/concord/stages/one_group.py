"""The statistics of groups, over whatever else has rows."""

from __future__ import annotations

import torch
from torch import Tensor

from concord.core.groups import Groups


def one_group(x: Tensor) -> Groups:
    """All rows of x as the members of one group, made on its device: no copy, and so no host sync.

    Example:
        >>> from concord.core.moments import group_mean
        >>> rates = torch.tensor([[0.25], [0.75]])
        >>> group_mean(rates, one_group(rates), torch.ones(2, 1, dtype=torch.bool))
        tensor([[0.5000]])
    """
    place = torch.arange(len(x), device=x.device)
    table = place[:, None]
    return Groups(torch.zeros_like(place), table, torch.ones_like(table, dtype=torch.bool), place, True)
