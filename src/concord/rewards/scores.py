"""Reading what a reward function returned, before it becomes a gradient."""

from __future__ import annotations

import math
import numbers
from dataclasses import dataclass, field
from typing import Any

import torch

from concord.core.status import ABSTAINED, INVALID, SCORED
from concord.rewards.forms.returned import shown

_LARGEST = torch.finfo(torch.float32).max


@dataclass(frozen=True)
class Score:
    """One rollout's score by one reward.

    Attributes:
        value: a finite number where there is one; else None.
        status: of :mod:`concord.core.status`.
        error: what was wrong, where the status is a fault.
        turns: those of its turns, where they count by themselves; the others are then those of no turn.
    """

    value: float | None
    status: str
    error: str | None = None
    turns: tuple[Score, ...] | None = field(default=None, repr=False)


@dataclass(frozen=True, eq=False)
class Scored:
    """What rewards said of N completions.

    Attributes:
        values: by reward, N scores as they count, None = none.
        statuses: by reward, N words of :mod:`concord.core.status`: what became of the call, whatever counts instead.
        errors: by reward, its first fault in one line; rewards without a fault are not there.
        causes: by reward, the exception behind that fault, where there is one.
    """

    values: dict[str, list[float | None]]
    statuses: dict[str, list[str]]
    errors: dict[str, str]
    causes: dict[str, BaseException]


def read_score(entry: Any) -> Score:
    """What a reward function returned for one completion.

    A number or a bool is a score; None means that the reward abstains. NaN, infinities, what is one in float32, in
    which engines keep scores, and what is no number are invalid.

    Example:
        >>> read_score(True), read_score(None)
        (Score(value=1.0, status='scored', error=None), Score(value=None, status='abstained', error=None))
        >>> read_score("0.5").error
        "returned '0.5' (str); a score is a number, or None to abstain"
    """
    if entry is None:
        return Score(None, ABSTAINED)
    value = entry.item() if getattr(entry, "shape", None) == () else entry  # a scalar of torch or NumPy
    if not isinstance(value, numbers.Real):
        return Score(None, INVALID, f"returned {shown(entry)}; a score is a number, or None to abstain")
    try:
        number = float(value)
    except OverflowError:  # an integer or fraction beyond float64
        number = math.inf
    if abs(number) <= _LARGEST:  # NaN is not <= anything
        return Score(number, SCORED)
    return Score(None, INVALID, f"returned {shown(entry)}; a score is finite in float32, or None to abstain")
