"""How far signed contributions disagree."""

from __future__ import annotations

import torch
from torch import Tensor


def mixed_sign(x: Tensor) -> Tensor:
    """Return where one channel is above 0 and another below it: ``[N, C] -> [N]`` bool.

    A contribution that is float noise must be 0 already: ``Signal`` values are, wherever a group's mean was taken off
    them. (The authors' code has a dead zone of 1e-8 on standardised values instead, which is less than the noise of
    float32.)

    Source: GD2PO's hard conflict, arXiv:2606.16771.

    Example:
        >>> mixed_sign(torch.tensor([[1.0, 2.0], [1.0, -2.0], [1.0, 0.0]])).tolist()
        [False, True, False]
    """
    return (x.amax(1) > 0) & (x.amin(1) < 0)


def consensus(x: Tensor) -> Tensor:
    """Return the signed agreement of the channels: ``[N, C] -> [N]``, in [-1, 1].

        consensus[n] = sum_k x[n, k] / sum_k |x[n, k]|      0 where all are 0

    Its magnitude is GD2PO's signal-to-noise score (eq. 11): 1 where all channels agree, 0 where
    they cancel. (The authors' code adds 1e-8 to the denominator.)

    Source: arXiv:2606.16771.

    Example:
        >>> consensus(torch.tensor([[1.0, 1.0], [1.0, -1.0], [3.0, -1.0]]))
        tensor([1.0000, 0.0000, 0.5000])
    """
    size = x.abs().sum(1)
    return x.sum(1) / torch.where(size > 0, size, 1)


def cancelled_share(x: Tensor) -> Tensor:
    """Return the share of the signal that the channels cancel among themselves: ``[N, C] -> []``.

        1 - sum_n |sum_k x[n, k]| / sum_n sum_k |x[n, k]|

    0 if nothing cancels, 1 if everything does, 0 if there is no signal.

    Example:
        >>> cancelled_share(torch.tensor([[1.0, 1.0], [1.0, -1.0]]))
        tensor(0.5000)
    """
    return cancelled(x.sum(1), x.abs().sum(1))


def cancelled(net: Tensor, gross: Tensor) -> Tensor:
    """Return :func:`cancelled_share` of sums and sums of magnitudes, each ``[N]``."""
    total = gross.sum()
    left = net.abs().sum() / torch.where(total > 0, total, 1)
    return (1 - left).clamp(min=0) * (total > 0)
