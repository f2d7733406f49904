"""The precision of scores: which differences between them are float noise.

A score is rounded where it is stored: as float32, 0.2 is 3e-9 off, and so the middle one of 0.2, 0.6 and 1.0 does not
sit exactly on their mean. What lies within the noise of such rounding has no sign. The noise is that of the scores as
they came, so a sum is taken in double precision, which adds next to nothing of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from concord.core.groups import Groups

ULPS = 2
"""Units in the last place that a float32 score may be off: rewards are results of a few operations."""

ROUNDING = 8
"""Units in the last place that our own arithmetic may be off."""

_HALF = (torch.float16, torch.bfloat16)

_DENOMINATORS = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 100, 1000)
"""Of the fractions that people score with: shares of a few checks, ratings, decimals."""

_LARGEST = 1e150

_TINY = torch.finfo(torch.float32).tiny


def working_dtype(device: torch.device) -> torch.dtype:
    """Return the type that statistics are taken in: float64, or float32 on devices that have no other."""
    return torch.float32 if device.type == "mps" else torch.float64


def result_dtype(scores: torch.dtype) -> torch.dtype:
    """Return the type of advantages: float64 for scores in float64, else float32."""
    return torch.float64 if scores == torch.float64 else torch.float32


class Scores(NamedTuple):
    """Scores, ready for statistics.

    Attributes:
        values: ``[N, K]`` in the working type; NaN = not scored.
        precision: ``[K]``, the noise of a score as a share of its size.
        noise: ``[P, K]``, what a difference inside a group must exceed to say something; None = what ``precision``
            gives for the group's largest score.
    """

    values: Tensor
    precision: Tensor
    noise: Tensor | None


def read_scores(scores: Tensor, groups: Groups, floors: Mapping[int, float]) -> Scores:
    """Widen scores ``[N, K]`` and say how precise they are.

    A column counts as precise as its type, with three exceptions:

    - float64 in which every number is a float32 has float32's noise: a framework has widened it.
    - Whole numbers that the type holds exactly have no noise but our own.
    - A group in half precision whose scores are all multiples of 1/2, 1/3, ... 1/10, 1/100 or 1/1000, rounded to the
      type, is read as these fractions, where the type tells them apart; another one has half precision's noise, one
      unit in the last place of its largest score.

    Args:
        scores: floating point; what is not finite is not scored, what is beyond 1e150 counts as 1e150 (its square
            has to fit).
        groups: the partition of the N rows.
        floors: by column, the user's noise floor in the reward's own units.
    """
    values, noise = _widened(scores), None
    precision = _precision(values, scores.dtype)
    if scores.dtype == torch.float64:
        values = values.clamp(-_LARGEST, _LARGEST)
    if scores.dtype in _HALF:
        values, noise = _read_half(scores, values, groups)
    if floors:
        if noise is None:
            noise = noise_of(largest(values, groups, ~values.isnan()), precision)
        least = noise.new_zeros(values.shape[1])
        for column, floor in floors.items():
            least[column] = floor
        noise = torch.maximum(noise, least)
    return Scores(values, precision, noise)


def noise_of(size: Tensor, precision: Tensor) -> Tensor:
    """Return the noise of numbers of a size: the share ``precision`` of it."""
    return precision * size.clamp(min=_TINY)


def largest(x: Tensor, groups: Groups, where: Tensor) -> Tensor:
    """Return the largest magnitude in each group: ``[N, C] -> [P, C]``; 0 where there is no entry."""
    block = groups.lay_last(torch.where(where, x.abs(), 0))
    return (block if groups.dense else torch.where(groups.there, block, 0)).amax(-2).T


def beyond(x: Tensor, bound: float, precision: Tensor | float) -> Tensor:
    """Return ``x - bound``, exactly 0 where the two differ by float noise: what a threshold is compared with.

    Example:
        >>> scores = torch.tensor([0.7, 0.8, 0.6])  # float32 holds 0.69999999, 0.80000001 and 0.60000002
        >>> (beyond(scores, 0.7, precision_of(scores[:, None])) >= 0).tolist()
        [True, True, False]
    """
    x = x.to(working_dtype(x.device))
    gap = x - bound
    noise = noise_of(x.abs().clamp(min=abs(bound)), torch.as_tensor(precision, dtype=x.dtype, device=x.device))
    return torch.where(gap.abs() <= noise, 0, gap)


def precision_of(scores: Tensor) -> Tensor:
    """Return the noise of scores ``[N, K]`` as a share of their size, ``[K]``; see :func:`read_scores`."""
    return _precision(_widened(scores), scores.dtype)


def _widened(scores: Tensor) -> Tensor:
    # In memory one reward after the other: sums over rewards then run along it.
    values = scores.T.to(working_dtype(scores.device), memory_format=torch.contiguous_format).T
    return values.nan_to_num(nan=torch.nan, posinf=torch.nan, neginf=torch.nan)


def _own(values: Tensor) -> float:
    return ROUNDING * torch.finfo(values.dtype).eps


def _precision(values: Tensor, dtype: torch.dtype) -> Tensor:
    own = _own(values)
    if dtype in _HALF or not len(values):
        return values.new_full(values.shape[1:], torch.finfo(dtype).eps + own)
    if not len(values):
        return values.new_full(values.shape[1:], own)
    known = values.nan_to_num(nan=0.0)
    single = (known.frac().abs().amax(0) > 0) | (known.abs().amax(0) >= 2**24)
    if dtype == torch.float64:
        single = single & ((known - known.float().to(known.dtype)).abs().amax(0) == 0)
    return torch.where(single, own + ULPS * torch.finfo(torch.float32).eps, own).to(values.dtype)


def _read_half(scores: Tensor, values: Tensor, groups: Groups) -> tuple[Tensor, Tensor]:
    missing = values.isnan()
    top = largest(values, groups, ~missing)
    info = torch.finfo(scores.dtype)
    # The unit in the last place of the largest score, which decides at 1/7 of 1.
    unit = torch.ldexp(torch.full_like(top, info.eps), top.clamp(min=info.tiny).frexp().exponent - 1)
    read, rounded = values, torch.ones_like(unit, dtype=torch.bool)
    for denominator in _DENOMINATORS:
        fraction = (values * denominator).round() / denominator
        off = groups.lay((fraction.to(scores.dtype) != scores) & ~missing)
        off = off if groups.dense else off & groups.there[..., None]
        fits = rounded & ~off.any(0) & (unit * denominator <= 1)
        read = torch.where(groups.spread(fits), fraction, read)
        rounded = rounded & ~fits
    return read, noise_of(top, values.new_tensor(_own(values))) + torch.where(rounded, unit, 0)
