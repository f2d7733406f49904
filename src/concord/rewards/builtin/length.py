"""How long a completion is, against a target, a range or a budget.

Each has an option ``unit``: ``tokens`` as the engine counts them (the default), ``words`` or ``characters``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from concord.core.errors import ConfigError
from concord.rewards.builtin.options import whole
from concord.rewards.builtin.units import TokenIds, split
from concord.rewards.completions import Completion


def length_target(
    completions: Sequence[Completion],
    *,
    completion_ids: TokenIds = None,
    target: int,
    unit: str = "tokens",
    **_: Any,
) -> list[float]:
    """1 at the target length, falling in a straight line to 0 at no length and at twice the target.

        score = max(0, 1 - |L - target| / target)

    Range: [0, 1].  Units: ``target`` and L in ``unit``.  Unjudgeable: none; an empty completion is 0.
    Raises: ConfigError if an option is wrong; RewardError if tokens are not known.

    Example:
        >>> length_target(["a", "a b", "a b c", "a b c d e"], target=2, unit="words")
        [0.5, 1.0, 0.5, 0.0]
    """
    whole("target", target)
    return [max(0.0, 1 - abs(len(c) - target) / target) for c in split(completions, completion_ids, unit)]


def length_range(
    completions: Sequence[Completion],
    *,
    completion_ids: TokenIds = None,
    low: int = 0,
    high: int,
    unit: str = "tokens",
    **_: Any,
) -> list[float]:
    """1 if low <= L <= high, else 0.

    Range: {0, 1}.  Units: ``low``, ``high`` and L in ``unit``.  Unjudgeable: none.
    Raises: ConfigError if an option is wrong; RewardError if tokens are not known.

    Example:
        >>> length_range(["a", "a b", "a b c", "a b c d e"], low=2, high=3, unit="words")
        [0.0, 1.0, 1.0, 0.0]
    """
    if whole("high", high) < whole("low", low, least=0):
        raise ConfigError(f"low must not be above high, got low {low} and high {high}")
    return [float(low <= len(c) <= high) for c in split(completions, completion_ids, unit)]


def length_budget(
    completions: Sequence[Completion],
    *,
    completion_ids: TokenIds = None,
    budget: int,
    unit: str = "tokens",
    **_: Any,
) -> list[float]:
    """1 within the budget, falling beyond it in a straight line to 0 at twice the budget.

        score = min(1, max(0, 1 - (L - budget) / budget))

    As :func:`length_target`, but to be shorter is no fault.

    Range: [0, 1].  Units: ``budget`` and L in ``unit``.  Unjudgeable: none; an empty completion is 1.
    Raises: ConfigError if an option is wrong; RewardError if tokens are not known.

    Example:
        >>> length_budget(["a", "a b", "a b c", "a b c d e"], budget=2, unit="words")
        [1.0, 1.0, 0.5, 0.0]
    """
    whole("budget", budget)
    return [min(1.0, max(0.0, 1 - (len(c) - budget) / budget)) for c in split(completions, completion_ids, unit)]
