"""A surrogate that reads the policy as the value function of another policy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import pad

from concord.core.errors import ConfigError
from concord.objectives.batch import PolicyBatch, Statistic


@dataclass(frozen=True)
class RandomPolicyValue:
    """The log ratio, read as what a token is worth if those after it are drawn uniformly, and drawn to its target.

        Q[t] = rho * (logp - old_logp)
        V[t] = rho * (mean_logp - old_mean_logp),   the mean of Q over the vocabulary
        loss = (Q[t] - sg(A + bootstrap * V[t + 1]))^2,   sg = no gradient

    V is 0 after the last token, and where the next one is not the policy's own. On policy Q and V are 0, so the
    gradient is ``-2 * rho * A`` times that of ``logp``: ``2 * rho`` times REINFORCE's. Off policy there is no clip: the
    log ratio comes to its target from both sides, also where the advantage is 0. It is not bounded, as it is elsewhere
    before exp: nothing overflows here, and a token that ran off is to come back. The ratio handed in is not read.

    The column ``old_mean_logp``, ``[B, T]``, is ``mean_logp`` of the policy that sampled.

    Attributes:
        rho: reward a nat of the log ratio.
        bootstrap: weight of the next token's value; 0 leaves the advantage as the target.

    Metrics: nothing counts as clipped.
    Raises: ConfigError unless rho > 0 and bootstrap >= 0; MissingColumn without that column; BatchError without
        ``mean_logp``.
    Source: ROVER, arXiv:2509.24981; tinnerhrhe/ROVER@b0fa587 (``DataParallelROVERActor``), to 1e-6.
    """

    statistics: ClassVar[frozenset[Statistic]] = frozenset({"mean_logp"})
    reads: ClassVar[frozenset[str]] = frozenset({"old_mean_logp"})
    every_row: ClassVar[bool] = True
    rho: float = 1.0
    bootstrap: float = 1.0

    def __post_init__(self) -> None:
        if not self.rho > 0:
            raise ConfigError(f"rho must be positive, got {self.rho}: without it no token has a value")
        if not self.bootstrap >= 0:
            raise ConfigError(f"bootstrap must not be negative, got {self.bootstrap}")

    def __call__(self, ratio: Tensor, advantages: Tensor, batch: PolicyBatch) -> tuple[Tensor, Tensor]:
        old_mean = batch.column("old_mean_logp").to(batch.logp.dtype)
        # Off the mask the differences may be anything, and V is read a token earlier.
        Q = self.rho * torch.where(batch.mask, batch.logp - batch.old_logp, 0)
        V = self.rho * torch.where(batch.mask, batch.statistic("mean_logp") - old_mean, 0)
        target = advantages + self.bootstrap * pad(V[:, 1:], (0, 1))
        return (Q - target).square(), torch.zeros_like(batch.mask)
