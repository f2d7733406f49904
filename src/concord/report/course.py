"""How a reward changes over the steps of a run."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from concord.report.analysis import Trend
from concord.report.series import Entry

FEWEST_STEPS = 15
"""A third of the run must hold five steps before its mean means something."""

SATURATED = 0.9
"""A reward is saturated where it is dead in this share of groups,"""

LIVELY = 0.7
"""and was not before, where it was dead in at most this share."""


def trend(means: Sequence[float]) -> Trend | None:
    """The first third against the last, steps counting alike; None where there are too few.

    The error is that of a difference of two means of steps that scatter independently about a line:
    a reward that climbs steeply within its first third is not thereby uncertain.
    """
    known = [mean for mean in means if math.isfinite(mean)]
    if len(known) < FEWEST_STEPS:
        return None
    third = len(known) // 3
    first, last = (torch.tensor(part, dtype=torch.float64) for part in (known[:third], known[-third:]))
    error = math.sqrt((_scatter(first) + _scatter(last)) / third)
    return Trend(float(first.mean()), float(last.mean()), error, third)


def _scatter(values: Tensor) -> float:
    """The variance about the line that fits best."""
    place = torch.arange(len(values), dtype=values.dtype)
    place -= place.mean()
    centred = values - values.mean()
    slope = (place @ centred) / (place @ place)
    return float((centred - slope * place).square().sum()) / (len(values) - 2)


def saturated_since(course: Sequence[Entry], k: int) -> int | None:
    """The step after which reward k is dead in ``SATURATED`` of its groups, having been lively before.

    The run is split in the two parts whose shares of dead groups differ most (least squares, groups
    counting alike). Each part has at least five points, or a tenth of them if that is more.
    """
    entries = [
        (first, float(sums.dead[k]), float(sums.std.count[k])) for first, _, sums in course if float(sums.std.count[k])
    ]
    least = max(5, len(entries) // 10)
    best, found = 0.0, None
    dead, groups = sum(e[1] for e in entries), sum(e[2] for e in entries)
    dead_before = groups_before = 0.0
    for place, (step, here, compared) in enumerate(entries):
        if least <= place <= len(entries) - least:
            before = dead_before / groups_before
            after = (dead - dead_before) / (groups - groups_before)
            between = (after - before) ** 2 * groups_before * (groups - groups_before)
            if between > best:
                best, found = between, (step if after >= SATURATED and before <= LIVELY else None)
        dead_before, groups_before = dead_before + here, groups_before + compared
    return found
