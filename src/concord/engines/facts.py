"""What a method asks of the policy's distribution at each token, by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from concord.functional.distribution import entropy, mean_logp, token_logp
from concord.methods import Method
from concord.stages import TemperedTarget

Fact = Callable[[Tensor, Tensor], Tensor]
"""From the log-probabilities ``[..., V]`` at sampled tokens, and the tokens ``[...]``, to ``[...]``."""

TEMPERED, RATIO_VARIANCE = "tempered_logp", "ratio_variance"

OLD: dict[str, Fact] = {"old_logp": token_logp, "old_mean_logp": mean_logp}
"""Columns of the policy that sampled."""

STATISTICS: dict[str, Fact] = {"entropy": entropy, "mean_logp": mean_logp}
"""What a loss reads of the policy in training (:attr:`concord.objectives.Objective.statistics`)."""

GIVEN = frozenset({TEMPERED, *OLD})
"""The columns of :func:`asked`."""


def tempered_logp(temperature: float) -> Fact:
    """Of the sampled tokens, at that temperature times the one that they were sampled at."""

    def fact(distribution: Tensor, ids: Tensor) -> Tensor:
        return token_logp((distribution / temperature).log_softmax(-1), ids)

    return fact


def asked(method: Method, state: tuple[Any, ...]) -> dict[str, Fact]:
    """The facts about the policy that sampled which a method's chain reads in the step that begins with this state."""
    found = {name: fact for name, fact in OLD.items() if name in method.needs}
    if TEMPERED in method.needs:
        stages = zip(method.signal.stages, state, strict=True)
        temperature = next(stage.temperature(memory) for stage, memory in stages if isinstance(stage, TemperedTarget))
        found[TEMPERED] = tempered_logp(temperature)
    return found
