"""Penalties that keep a policy from closing in on a few responses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from concord.core.errors import BatchError, ConfigError
from concord.functional.forward_kl import forward_kl
from concord.objectives.batch import PolicyBatch
from concord.objectives.ratio import TokenRatio


@dataclass(frozen=True)
class ForwardKl:
    """``alpha`` times an estimate of KL(reference || policy): ``[B, T]``, in nats.

        u = exp(ref_logp - logp),   alpha * (u * log(u) - u + 1)

    It grows where the reference has mass that the policy gave up; the reverse one of :class:`Kl` grows where the
    policy has mass that the reference has not.

    Source: RAPO, arXiv:2510.03865, its estimator; see :func:`concord.functional.forward_kl.forward_kl`. There the
    reference is first tempered by a function of the reward that the sources at hand do not give: here it is not.

    Raises: ConfigError for a negative alpha; BatchError without ``ref_logp``.
    """

    needs_reference: ClassVar[bool] = True
    alpha: float

    def __post_init__(self) -> None:
        if self.alpha < 0:
            raise ConfigError(f"alpha must not be negative, got {self.alpha}")

    def __call__(self, batch: PolicyBatch) -> Tensor:
        if batch.ref_logp is None:
            raise BatchError("the forward KL penalty needs ref_logp in the PolicyBatch")
        return self.alpha * forward_kl(batch.logp, batch.ref_logp)


@dataclass(frozen=True)
class EntropyBonus:
    """``-beta`` times an estimate of the policy's entropy at each token: ``[B, T]``, in nats.

        penalty = beta * ratio * logp

    From the sampled tokens alone: its mean over the sampling policy is ``-beta * H(policy)``, and its gradient's mean
    is the gradient of that. The variance is that of ``logp``, which the sum over the whole vocabulary would not have.

    Source: the entropy term of A3C, arXiv:1602.01783, weighed by importance; RAPO has such a term too,
    arXiv:2510.03865.

    Raises: ConfigError if beta is not a finite number. Below 0 it takes entropy away.
    """

    needs_reference: ClassVar[bool] = False
    beta: float

    def __post_init__(self) -> None:
        if not -torch.inf < self.beta < torch.inf:
            raise ConfigError(f"beta must be a finite number, got {self.beta}")

    def __call__(self, batch: PolicyBatch) -> Tensor:
        # Off the mask logp may be -inf, which 0 * would turn into NaN.
        return self.beta * TokenRatio()(batch) * torch.where(batch.mask, batch.logp, 0)
