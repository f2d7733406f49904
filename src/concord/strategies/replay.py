"""Rollouts kept for later steps."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterable
from typing import Generic, TypeVar

from concord.core.catalogue import Card, register
from concord.core.errors import ConfigError

T = TypeVar("T")


class Replay(Generic[T]):
    """The newest things, to draw from; the oldest leave first.

    Attributes:
        items: the oldest first.
    """

    def __init__(self, size: int, seed: int) -> None:
        self.items: deque[T] = deque(maxlen=size)
        self._random = random.Random(seed)

    def __len__(self) -> int:
        return len(self.items)

    def add(self, items: Iterable[T]) -> None:
        """Keep these; what is too much leaves."""
        self.items.extend(items)

    def sample(self, count: int) -> list[T]:
        """``count`` of them, none twice, each as likely; all of them, shuffled, if there are no more."""
        return self._random.sample(list(self.items), min(count, len(self.items)))


@register(
    Card(
        title="Playing Atari with Deep Reinforcement Learning",
        arxiv="1312.5602",
        formula="each step: keep the newest, draw uniformly among the last size",
        kind="strategy",
    )
)
def replay(*, size: int, seed: int = 0) -> Replay[object]:
    """Experience replay: the last ``size`` things, drawn from uniformly, for losses that learn off policy.

        at each step: keep what is new, the oldest beyond ``size`` leave; draw uniformly, none twice

    Keep whole groups, each with the log-probabilities that it was sampled with: a loss with a ratio reads them as
    ``old_logp``, and a baseline over a group needs all of it. The rewards stay those of the time they were given.

    Args:
        size: things kept at most.
        seed: of the draws.

    An empty buffer gives nothing. Raises: ConfigError for a size below 1.
    Source: arXiv:1312.5602; the idea is Lin's, 1992.

    Example:
        >>> buffer = replay(size=2)
        >>> buffer.add(["first", "second", "third"])
        >>> sorted(buffer.sample(5))
        ['second', 'third']
    """
    if size < 1:
        raise ConfigError(f"a replay buffer holds at least one thing, got size {size}")
    return Replay(size, seed)
