"""How much a completion repeats itself."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

from concord.rewards.builtin.options import positive, whole
from concord.rewards.builtin.units import TokenIds, split
from concord.rewards.completions import Completion


def repetition_penalty(
    completions: Sequence[Completion],
    *,
    completion_ids: TokenIds = None,
    n: int = 3,
    max_penalty: float = 1.0,
    unit: str = "tokens",
    **_: Any,
) -> list[float]:
    """Minus the share of n-grams that have occurred before, times ``max_penalty``.

        score = -(1 - distinct n-grams / n-grams) * max_penalty

    N-grams overlap: L units have L - n + 1 of them. Fewer than ``n`` units have none and score 0. Words are compared
    as written, case and punctuation included.

    Args:
        n: units in an n-gram.
        max_penalty: a size, above 0.
        unit: ``tokens``, ``words`` or ``characters`` (of use where words are not separated by spaces).

    Range: (-max_penalty, 0].  Unjudgeable: none; an empty completion is 0.
    Raises: ConfigError if an option is wrong; RewardError if tokens are not known.
    Source: Yeo et al. 2025, arXiv:2502.03373 appendix C.2, in the form common since: the whole completion gets one
    score, where the paper punishes each repeated token. In tokens the same numbers as TRL's
    ``get_repetition_penalty_reward``, whose ``max_penalty`` is negative.

    Example:
        >>> repetition_penalty(["no it is not", "no no no no"], n=2, unit="words")
        [0.0, -0.6666666666666667]
    """
    whole("n", n)
    positive("max_penalty", max_penalty)
    return [-_repeated(units, n) * max_penalty + 0.0 for units in split(completions, completion_ids, unit)]


def _repeated(units: Sequence[Hashable], n: int) -> float:
    count = len(units) - n + 1
    if count < 1:
        return 0.0
    return 1 - len(set(zip(*(units[start : start + count] for start in range(n)), strict=True))) / count
