"""How far signed contributions disagree."""

from __future__ import annotations

from torch import Tensor

DEAD_ZONE = 1e-8
"""Below this size a contribution has no sign (GD2PO's authors' code)."""


def mixed_sign(x: Tensor, *, dead_zone: float = DEAD_ZONE) -> Tensor:
    """True where one channel is above the dead zone and another below it: ``[N, C] -> [N]`` bool.

    Source: GD2PO's hard conflict, arXiv:2606.16771.

    Example:
        >>> import torch
        >>> mixed_sign(torch.tensor([[1.0, 2.0], [1.0, -2.0], [1.0, 0.0]])).tolist()
        [False, True, False]
    """
    return (x > dead_zone).any(1) & (x < -dead_zone).any(1)


def consensus(x: Tensor, *, eps: float = 1e-8) -> Tensor:
    """Signed agreement of the channels: ``[N, C] -> [N]``, in [-1, 1].

        consensus[n] = sum_k x[n, k] / (sum_k |x[n, k]| + eps)

    Its magnitude is GD2PO's signal-to-noise score (eq. 11): 1 where all channels agree, 0 where
    they cancel.

    Source: arXiv:2606.16771.

    Example:
        >>> import torch
        >>> consensus(torch.tensor([[1.0, 1.0], [1.0, -1.0], [3.0, -1.0]]))
        tensor([1.0000, 0.0000, 0.5000])
    """
    return x.sum(1) / (x.abs().sum(1) + eps)


def cancelled_share(x: Tensor) -> Tensor:
    """The share of the signal that the channels cancel among themselves: ``[N, C] -> []``.

        1 - sum_n |sum_k x[n, k]| / sum_n sum_k |x[n, k]|

    0 if nothing cancels, 1 if everything does, 0 if there is no signal.

    Example:
        >>> import torch
        >>> cancelled_share(torch.tensor([[1.0, 1.0], [1.0, -1.0]]))
        tensor(0.5000)
    """
    total = x.abs().sum()
    left = x.sum(1).abs().sum() / total.clamp(min=DEAD_ZONE)
    return (1 - left).clamp(min=0) * (total > DEAD_ZONE)
