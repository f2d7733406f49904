"""Reading what a reward function returned, before it becomes a gradient."""

from __future__ import annotations

import decimal
import math
import numbers
from collections.abc import Mapping, Sequence
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
        place: where, as ``file:line in function``, as far as that is known.
        turns: those of its turns, where they count by themselves; the others are then those of no turn.
    """

    value: float | None
    status: str
    error: str | None = None
    place: str | None = field(default=None, compare=False, repr=False)
    turns: tuple[Score, ...] | None = field(default=None, repr=False)


@dataclass(frozen=True, eq=False)
class Scored:
    """What rewards said of N completions.

    Attributes:
        values: by reward, N scores as they count, None = none.
        statuses: by reward, N words of :mod:`concord.core.status`: what became of the call, whatever counts instead.
        errors: by reward, its first fault in one line; rewards without a fault are not there.
        causes: by reward, the exception behind that fault, where there is one.
        places: by reward, where that fault was, as far as it is known.
        extra: by name, N entries that functions gave beside scores: what no reward takes.
    """

    values: dict[str, list[float | None]]
    statuses: dict[str, list[str]]
    errors: dict[str, str]
    causes: dict[str, BaseException]
    places: dict[str, str] = field(default_factory=dict)
    extra: dict[str, list[Any]] = field(default_factory=dict)


def read_score(entry: Any) -> Score:
    """What a reward function returned for one completion.

    A number or a bool is a score, also a decimal one and a scalar of NumPy or torch; so is what alone stands in a list
    or an array. None means that the reward abstains. NaN, infinities, what is one in float32, in which engines keep
    scores, and what is no number are invalid.

    Example:
        >>> read_score(True), read_score(None)
        (Score(value=1.0, status='scored', error=None), Score(value=None, status='abstained', error=None))
        >>> read_score([0.5]).value, read_score("0.5").error
        (0.5, "returned '0.5' (str); a score is a number, or None to abstain")
    """
    value = _alone(entry)
    if value is None:
        return Score(None, ABSTAINED)
    if isinstance(value, Mapping):
        names = ", ".join(map(repr, list(value)[:10])) or "none"
        return Score(None, INVALID, f"returned several scores by name ({names}), none of them the main one: say key:")
    if not isinstance(value, numbers.Real | decimal.Decimal):
        return Score(None, INVALID, f"returned {shown(entry)}; a score is a number, or None to abstain")
    try:
        number = float(value)
    except (OverflowError, ValueError):  # an integer or fraction beyond float64; a signalling NaN
        number = math.inf
    if abs(number) <= _LARGEST:  # NaN is not <= anything
        return Score(number, SCORED)
    return Score(None, INVALID, f"returned {shown(entry)}; a score is finite in float32, or None to abstain")


def _alone(entry: Any) -> Any:
    """What a scalar array, or a list or an array of one entry holds; a column of arrays is as deep as two."""
    for _ in range(2):
        if isinstance(entry, Sequence) and not isinstance(entry, str | bytes) and len(entry) == 1:
            entry = entry[0]
    shape = getattr(entry, "shape", None)
    one = isinstance(shape, tuple) and all(size == 1 for size in shape)  # torch's Size is a tuple
    return entry.item() if one and hasattr(entry, "item") else entry
