"""DAPO's soft punishment of overlong completions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from concord.core.errors import ConfigError
from concord.rewards.builtin.options import whole
from concord.rewards.builtin.units import TokenIds, split
from concord.rewards.completions import Completion


def soft_overlong(
    completions: Sequence[Completion],
    *,
    completion_ids: TokenIds = None,
    max_length: int,
    cache: int,
    **_: Any,
) -> list[float]:
    """0 up to ``max_length - cache`` tokens, then falling in a straight line to -1 at ``max_length`` and beyond.

        L <= max_length - cache                  0
        max_length - cache < L <= max_length     ((max_length - cache) - L) / cache
        max_length < L                           -1

    ``max_length`` should be the length at which generation stops, or less: a completion is never longer. ``cache=0``
    punishes only what is longer than ``max_length``.

    Range: [-1, 0].  Units: tokens.  Unjudgeable: none.
    Raises: ConfigError if ``cache`` exceeds ``max_length`` or one is not a whole number; RewardError if tokens are
    not known.
    Source: DAPO, arXiv:2503.14476 eq. 13. The same numbers as TRL's ``get_soft_overlong_punishment``.

    Example:
        >>> tokens = [[1] * 80, [1] * 90, [1] * 101]
        >>> soft_overlong(["...", "...", "..."], completion_ids=tokens, max_length=100, cache=20)
        [0.0, -0.5, -1.0]
    """
    free = whole("max_length", max_length) - whole("cache", cache, least=0)
    if free < 0:
        raise ConfigError(f"cache is the last part of max_length, got cache {cache} and max_length {max_length}")
    return [_punishment(len(tokens), free, cache) for tokens in split(completions, completion_ids, "tokens")]


def _punishment(length: int, free: int, cache: int) -> float:
    if length <= free:
        return 0.0
    return (free - length) / cache if length <= free + cache else -1.0
