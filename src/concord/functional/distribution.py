"""What a distribution over the vocabulary says at a sampled token."""

from __future__ import annotations

from torch import Tensor


def token_logp(distribution: Tensor, ids: Tensor) -> Tensor:
    """The log-probability of the token: ``[..., V], [...] -> [...]``, in nats.

    Example:
        >>> import torch
        >>> token_logp(torch.tensor([[0.25, 0.75]]).log(), torch.tensor([1])).exp()
        tensor([0.7500])
    """
    return distribution.gather(-1, ids[..., None])[..., 0]


def mean_logp(distribution: Tensor, ids: Tensor) -> Tensor:
    """The mean of the log-probabilities over the vocabulary: ``[..., V] -> [...]``, in nats; the token plays no part.

    -log V for the uniform distribution, and less for any other: minus the cross-entropy of the uniform one with it.
    Source: ROVER, arXiv:2509.24981.
    """
    return distribution.mean(-1)


def entropy(distribution: Tensor, ids: Tensor) -> Tensor:
    """``-sum_v p(v) log p(v)``: ``[..., V] -> [...]``, in nats; the token plays no part.

    A token of probability 0 adds 0.

    Example:
        >>> import torch
        >>> entropy(torch.tensor([0.5, 0.5, 0.0]).log(), torch.tensor(0))
        tensor(0.6931)
    """
    p = distribution.exp()
    return -(p * distribution.where(p > 0, 0)).sum(-1)
