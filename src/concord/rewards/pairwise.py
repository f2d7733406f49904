"""Rewards from a judge that compares two responses to one prompt."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Any

from concord.core.errors import RewardError
from concord.rewards.completions import Completion
from concord.rewards.forms.groups import by_prompt

Judge = Callable[[Any, Completion, Completion], float | bool | None]
"""Called with a prompt and two of its completions: the probability that the first is the better one, or None."""


class _Pairwise:
    """What the two rewards have in common: whom they ask, and in which order.

    Args:
        judge: see :data:`Judge`.
        both_orders: ask twice, each response once as the first, because judges favour a place.
    """

    def __init__(self, judge: Judge, *, both_orders: bool = True) -> None:
        self.judge, self.both_orders = judge, both_orders
        self.__name__ = getattr(judge, "__name__", type(judge).__name__)

    def _verdicts(self, prompt: Any, first: Completion, second: Completion) -> list[float]:
        """The probability that the first is better, by each order that had an answer."""
        asked = [self._ask(prompt, first, second)]
        if self.both_orders:
            turned = self._ask(prompt, second, first)
            asked.append(None if turned is None else 1 - turned)
        return [verdict for verdict in asked if verdict is not None]

    def _ask(self, prompt: Any, first: Completion, second: Completion) -> float | None:
        verdict = self.judge(prompt, first, second)
        if verdict is None:
            return None
        if not isinstance(verdict, (int, float)) or not 0 <= verdict <= 1:
            raise RewardError(f"judge {self.__name__!r} must return a probability in [0, 1] or None, got {verdict!r}")
        return float(verdict)


class WinRate(_Pairwise):
    """The share of its siblings that a response beats: SPO's reward.

        r[i] = mean(P(i beats j) : j in group(i), j != i)

    A reward function in TRL's form; completions of equal prompts are a group. With G of them the judge is asked
    G (G - 1) times, half as often with ``both_orders=False``. A pair without a verdict counts for nobody; a response
    without any is not scored.

    Raises: RewardError where the judge returns anything but a probability or None.
    Source: arXiv:2401.04056.

    Example:
        >>> def longer(prompt, first, second):
        ...     return len(first) > len(second)
        >>> WinRate(longer)(["a", "a", "a", "b"], ["three", "four.", "five..", "alone"])
        [0.25, 0.25, 1.0, None]
    """

    def __call__(self, prompts: Sequence[Any], completions: Sequence[Completion], **_: Any) -> list[float | None]:
        won: list[list[float]] = [[] for _ in prompts]
        for group in by_prompt(prompts):
            for i, j in combinations(group, 2):
                if verdicts := self._verdicts(prompts[i], completions[i], completions[j]):
                    won[i].append(math.fsum(verdicts) / len(verdicts))
                    won[j].append(1 - won[i][-1])
        return [math.fsum(rates) / len(rates) if rates else None for rates in won]


class AgainstReference(_Pairwise):
    """Whether a response beats a reference drawn from its own group: BRPO's advantage.

        +1 if the judge prefers it to the reference in every order asked, -1 if not, 0 for the reference

    A reward function in TRL's form; completions of equal prompts are a group. With G of them the judge is asked
    2 (G - 1) times, half as often with ``both_orders=False``. The draw depends on the seed and on the group's texts,
    not on their order. Without a verdict a response is not scored.

    Args:
        judge, both_orders: as in :class:`WinRate`; above 1/2 is a preference.
        seed: of the draw.

    Raises: RewardError where the judge returns anything but a probability or None.
    Source: arXiv:2506.00103.

    Example:
        >>> def longer(prompt, first, second):
        ...     return len(first) > len(second)
        >>> AgainstReference(longer, seed=4)(["a", "a", "a"], ["one", "three", "seventeen"])
        [-1.0, 0.0, 1.0]
    """

    def __init__(self, judge: Judge, *, both_orders: bool = True, seed: int = 0) -> None:
        super().__init__(judge, both_orders=both_orders)
        self.seed = seed

    def __call__(self, prompts: Sequence[Any], completions: Sequence[Completion], **_: Any) -> list[float | None]:
        scores: list[float | None] = [None] * len(prompts)
        for group in by_prompt(prompts):
            reference = self._draw(prompts[group[0]], group, completions)
            for i in group:
                if i == reference:
                    scores[i] = 0.0
                elif verdicts := self._verdicts(prompts[i], completions[i], completions[reference]):
                    scores[i] = 1.0 if min(verdicts) > 0.5 else -1.0
        return scores

    def _draw(self, prompt: Any, group: Sequence[int], completions: Sequence[Completion]) -> int:
        sorted_by_text = sorted(group, key=lambda i: repr(completions[i]))
        return random.Random(repr((self.seed, prompt, [completions[i] for i in sorted_by_text]))).choice(sorted_by_text)
