"""An estimator of KL(reference || policy) from samples of the policy."""

from __future__ import annotations

from torch import Tensor

from concord.functional.kl import BOUND


def forward_kl(logp: Tensor, ref_logp: Tensor) -> Tensor:
    """``u * log(u) - u + 1`` with ``u = ref / policy``: unbiased for KL(reference || policy), never negative.

    Maps ``logp`` and ``ref_logp`` of one shape to a tensor of that shape, in nats. As with k3, the gradient through
    ``logp`` leaves out how sampling changes. |log u| is clamped to 20.

    Source: RAPO, arXiv:2510.03865.

    Example:
        >>> import torch
        >>> forward_kl(torch.tensor([-1.0]), torch.tensor([-1.0])).item()
        0.0
    """
    d = (ref_logp - logp).clamp(-BOUND, BOUND)
    u = d.exp()
    return u * d - u + 1
