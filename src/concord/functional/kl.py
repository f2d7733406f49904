"""Estimators of KL(policy || reference) from samples of the policy.

With d = log ref(y) - log policy(y) for a sampled token y, each function maps ``logp`` and
``ref_logp`` of one shape to a tensor of that shape, in nats. Source: Schulman 2020, "Approximating
KL divergence" (the names k1, k2, k3 are his); k3 is the one in GRPO, arXiv:2402.03300.
"""

from __future__ import annotations

from torch import Tensor

BOUND = 20.0
"""|d| is clamped here, as verl does: exp(d) would overflow where the policy left the reference far behind."""


def k1(logp: Tensor, ref_logp: Tensor) -> Tensor:
    """``-d``: unbiased, high variance, of either sign."""
    return logp - ref_logp


def k2(logp: Tensor, ref_logp: Tensor) -> Tensor:
    """``d^2 / 2``: biased, low variance; its gradient is unbiased for the reverse KL."""
    return 0.5 * (ref_logp - logp).square()


def k3(logp: Tensor, ref_logp: Tensor) -> Tensor:
    """``exp(d) - d - 1``: unbiased, never negative.

    Example:
        >>> import torch
        >>> k3(torch.tensor([-1.0]), torch.tensor([-1.0])).item()
        0.0
    """
    d = (ref_logp - logp).clamp(-BOUND, BOUND)
    return d.exp() - d - 1
