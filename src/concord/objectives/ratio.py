"""How much likelier a response, or a token of it, is now than when it was sampled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from concord.objectives.batch import PolicyBatch

BOUND = 20.0
"""|log ratio| is clamped here before exp, as verl does; beyond it the gradient is 0."""


class Ratio(Protocol):
    """``[B, T]`` for one ratio a token, ``[B, 1]`` for one a response."""

    def __call__(self, batch: PolicyBatch) -> Tensor: ...


@dataclass(frozen=True)
class TokenRatio:
    """``exp(logp - old_logp)`` for each token: ``[B, T]``. Source: PPO, arXiv:1707.06347."""

    def __call__(self, batch: PolicyBatch) -> Tensor:
        # Off the mask the difference may be anything; inf * 0 would poison the sum.
        return torch.where(batch.mask, batch.logp - batch.old_logp, 0).clamp(-BOUND, BOUND).exp()


@dataclass(frozen=True)
class SequenceRatio:
    """The geometric mean of a response's token ratios: ``[B, 1]``.

        s = exp(sum_t (logp - old_logp) / length)

    Source: GSPO, arXiv:2507.18071 eq. 7.
    """

    def __call__(self, batch: PolicyBatch) -> Tensor:
        difference = torch.where(batch.mask, batch.logp - batch.old_logp, 0).sum(1, keepdim=True)
        return (difference / batch.mask.sum(1, keepdim=True).clamp(min=1)).clamp(-BOUND, BOUND).exp()


@dataclass(frozen=True)
class SequenceTokenRatio:
    """A response's ratio in value, a token's in gradient: ``[B, T]``.

        s[t] = sg(exp(sum_t (logp - old_logp) / length)) * exp(logp[t] - sg(logp[t])),   sg = no gradient

    So tokens may have advantages of their own under one ratio a response. Source: GSPO-token, arXiv:2507.18071.
    """

    def __call__(self, batch: PolicyBatch) -> Tensor:
        token = torch.where(batch.mask, batch.logp - batch.logp.detach(), 0).exp()
        return SequenceRatio()(batch).detach() * token


@dataclass(frozen=True)
class WholeSequenceRatio:
    """The product of a response's token ratios: ``[B, 1]``.

        s = exp(sum_t (logp - old_logp))

    Its gradient on policy is that of the response's log-probability, not divided by its length.
    Source: RLOO, arXiv:2402.14740, as in TRL.
    """

    def __call__(self, batch: PolicyBatch) -> Tensor:
        difference = torch.where(batch.mask, batch.logp - batch.old_logp, 0).sum(1, keepdim=True)
        return difference.clamp(-BOUND, BOUND).exp()
