"""Standardising values over the whole batch."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from concord.core.precision import ROUNDING


class Whitened(NamedTuple):
    """``values [N, C]``, and the mean and multiplier ``[C]`` that made them."""

    values: Tensor
    mean: Tensor
    gain: Tensor


def whiten(
    x: Tensor, weight: Tensor, *, eps: float, eps_in_root: bool, noise: Tensor | float | None = None
) -> Whitened:
    """Subtract the weighted mean, divide by the weighted deviation.

        mean = sum(w x) / sum(w)      var = sum(w (x - mean)^2) / (sum(w) - 1)
        gain = 1 / sqrt(var + eps)    if eps_in_root, else 1 / (sqrt(var) + eps)
        value = (x - mean) * gain

    Whitening a ``[N, T]`` advantage that is constant along a response equals whitening ``[N]``
    with the response lengths as weights: no T axis is needed.

    Shapes: x, weight ``[N, C]``, entries of weight 0 may be NaN in x; noise ``[C]``, how far from the mean is noise and
    counts as 0, None = the rounding of x's type. A constant column gives exactly 0; so does one with nothing in it.
    """
    counts = weight > 0
    total = weight.sum(0)
    known = torch.where(counts, x, 0)
    mean = (weight * known).sum(0) / total.clamp(min=1)
    if noise is None:
        noise = ROUNDING * torch.finfo(x.dtype).eps * known.abs().amax(0)
    centred = x - mean
    centred = torch.where(counts & (centred.abs() > noise), centred, 0)
    variance = (weight * centred.square()).sum(0) / (total - 1).clamp(min=1)
    gain = (variance + eps).rsqrt() if eps_in_root else 1 / (variance.sqrt() + eps)
    return Whitened(torch.where(counts, centred * gain, x), mean, gain)
