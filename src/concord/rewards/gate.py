"""A reward that counts only where another has reached a threshold."""

from __future__ import annotations

import graphlib
import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from concord.core.errors import ConfigError, nearest
from concord.core.precision import beyond, precision_of

COMPARISONS: dict[str, Callable[[Tensor, float], Tensor]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
}


@dataclass(frozen=True)
class Gate:
    """A condition on the score of another reward.

    Attributes:
        reward: the other's name.
        comparison: one of ``>= <= == != > <``.
        threshold: in the other's units.

    Example:
        >>> Gate.parse("format >= 1")
        Gate(reward='format', comparison='>=', threshold=1.0)
    """

    reward: str
    comparison: str
    threshold: float

    @classmethod
    def parse(cls, text: str) -> Gate:
        """Read ``"format >= 1"``.

        Raises:
            ConfigError: it is not a name, a comparison and a finite number.
        """
        match = re.fullmatch(r"\s*([\w-]+)\s*([<>=!]=|[<>])\s*(\S+)\s*", text)
        try:
            threshold = float(match[3]) if match else math.nan
        except ValueError:
            threshold = math.nan
        if match is None or not math.isfinite(threshold):
            raise ConfigError(f"{text!r} is no condition on a reward; write, for example, 'format >= 1'")
        return cls(match[1], match[2], threshold)

    def __str__(self) -> str:
        return f"{self.reward} {self.comparison} {self.threshold:g}"


class Gates:
    """The gates of several rewards, applied together.

        s'[n, k] = s[n, k]   if s'[n, l] reached k's threshold on l
                 = 0         if it did not
                 = NaN       if l has no score there: whether k counts is not known

    A score that is missing stays so. A gate reads the other reward as it counts, so after that one's own gate: with
    length behind correctness behind format, length counts where both hold. A score that differs from the threshold by
    float noise is the threshold: float32's 0.7 reaches 0.7.

    Source: the conditioned reward of GDPO, arXiv:2601.05242.

    Args:
        names: all K rewards, in the order of the scores' columns.
        gates: by the name of the reward that is gated; None = it is not.

    Raises:
        ConfigError: a gate on a reward that is not there, on itself, or in a circle.

    Example:
        >>> gates = Gates(["format", "length"], {"length": Gate.parse("format >= 1")})
        >>> gates(torch.tensor([[1.0, 0.4], [0.0, 0.4]]))[0].tolist() == torch.tensor([[1, 0.4], [0, 0]]).tolist()
        True
    """

    def __init__(self, names: Sequence[str], gates: Mapping[str, Gate | None]) -> None:
        self._gates = {name: gate for name, gate in gates.items() if gate is not None}
        for name, gate in self._gates.items():
            if gate.reward not in names:
                raise ConfigError(
                    f"reward {name!r} counts when {gate}, and there is no reward {gate.reward!r}"
                    + nearest(gate.reward, names)
                )
        try:
            order = graphlib.TopologicalSorter(
                {name: [gate.reward] for name, gate in self._gates.items()}
            ).static_order()
            self._order = [name for name in order if name in self._gates]
        except graphlib.CycleError as error:
            raise ConfigError(f"the rewards' gates go in a circle: {' <- '.join(error.args[1])}") from error
        self._column = {name: k for k, name in enumerate(names)}

    @property
    def names(self) -> tuple[str, ...]:
        """The rewards that are gated."""
        return tuple(self._gates)

    def __call__(self, scores: Tensor) -> tuple[Tensor, Tensor]:
        """``[N, K]`` scores as they count, and ``[N, K]`` bool, whether the gate is open; both new."""
        scores, opened, precision = scores.clone(), torch.ones_like(scores, dtype=torch.bool), precision_of(scores)
        for name in self._order:
            gate, k = self._gates[name], self._column[name]
            column = self._column[gate.reward]
            other = scores[:, column]
            reached = COMPARISONS[gate.comparison](beyond(other, gate.threshold, precision[column]), 0)
            opened[:, k] = reached & ~other.isnan()
            counted = torch.where(reached, scores[:, k], torch.zeros_like(other))
            scores[:, k] = torch.where(other.isnan() | scores[:, k].isnan(), math.nan, counted)
        return scores, opened
