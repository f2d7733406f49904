"""A reward: its name, where its scores come from, and what they count for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from concord.core.errors import ConfigError, DuplicateName, nearest
from concord.rewards.gate import Gate
from concord.rewards.schedule import Schedule, check_number
from concord.rewards.source import Limits, Source, find
from concord.rewards.turn_scores import check_turns

POLICIES = ("raise", "abstain", "zero", "worst")
"""What a rollout counts for whose score failed, timed out or is invalid."""


@dataclass(frozen=True)
class NamedReward:
    """A reward as it is logged, weighed and dumped.

        score = clamp(scale * returned + shift),    counted where the gate is open, 0 where it is not

    Attributes:
        name: in metrics, tables and dumps.
        source: a function, in any of the forms of :mod:`concord.rewards.forms`; or a :class:`Source`, which says how
            it is called. A score is a number, or None where the reward abstains.
        weight: its factor in the sum of rewards, a finite number or a :class:`Schedule`; 0 only watches.
        key: which of several scores that the function returns by name; None = its main one.
        when: a condition on another reward, ``"format >= 1"``; see :class:`concord.rewards.gate.Gates`.
        turns: where the function returns a list with one score a turn, what becomes of it: ``sum``, ``last`` and
            ``mean`` make it the rollout's score, ``each`` keeps them for rows that are turns
            (:meth:`concord.rewards.RewardSet.by_turn`); None = it returns no lists.
        scale, shift: of the score; with ``each`` of each turn's.
        clamp: the least and the greatest score, either may be None; None = as it is.
        on_error: what a score counts for that failed, timed out or is invalid: ``raise`` stops the run, ``abstain``
            leaves it out, ``zero`` is 0, ``worst`` the end of ``clamp`` that counts least under the weight.
        max_failed: the share of a batch from which on such scores stop the run, in (0, 1]; None = never.
        noise_floor: how near to its group's mean a score says nothing, in the score's own units; 0 = only the float
            noise counts as none. Standardised, a judge stuck at 1 +- 1e-5 weighs as much as any other reward.

    Raises:
        ConfigError: a field that is none of these.
    """

    name: str
    source: Any
    weight: float | Schedule = 1.0
    key: str | None = None
    when: str | None = None
    turns: str | None = None
    scale: float = 1.0
    shift: float = 0.0
    clamp: tuple[float | None, float | None] | None = None
    on_error: str = "raise"
    max_failed: float | None = None
    noise_floor: float = 0.0

    def __post_init__(self) -> None:
        if not self.name:
            raise ConfigError("a reward needs a name; it is what its metrics are logged under")
        try:
            self._settle()
        except ConfigError as error:
            raise ConfigError(f"reward {self.name!r}: {error}") from error

    def _settle(self) -> None:
        def put(name: str, value: object) -> None:
            object.__setattr__(self, name, value)

        put("source", self.source if isinstance(self.source, Source) else Source(self.source))
        if not hasattr(self.weight, "at"):
            check_number("the weight", self.weight)
        for name in ("scale", "shift", "noise_floor"):
            check_number(name, getattr(self, name))
        if self.noise_floor < 0:
            raise ConfigError(f"noise_floor is a distance in the score's own units, at least 0; got {self.noise_floor}")
        if not self.scale:
            raise ConfigError("scale 0 makes every score the same; to watch a reward only, give it weight 0")
        self.gate  # noqa: B018 parsed, to check it
        check_turns(self.turns)
        low, high = self.clamp or (None, None)
        for end in (low, high):
            if end is not None:
                check_number("an end of clamp", end)
        if low is not None and high is not None and low >= high:
            raise ConfigError(f"clamp is [least, greatest], got [{low}, {high}]")
        if self.on_error not in POLICIES:
            known = ", ".join(POLICIES)
            raise ConfigError(
                f"on_error is one of {known}; got {self.on_error!r}" + nearest(str(self.on_error), POLICIES)
            )
        if self.on_error == "worst" and (low is None or high is None):
            raise ConfigError("on_error: worst needs both ends of clamp, one of which is the worst score")
        if self.max_failed is not None:
            check_number("max_failed", self.max_failed)
            if not 0 < self.max_failed <= 1:
                raise ConfigError(f"max_failed is a share of the batch, above 0 and at most 1; got {self.max_failed}")

    @property
    def gate(self) -> Gate | None:
        """What ``when`` says."""
        return None if self.when is None else Gate.parse(self.when)

    def weight_at(self, step: int) -> float:
        """The weight in force at an optimisation step."""
        return float(self.weight) if isinstance(self.weight, int | float) else self.weight.at(step)

    def adjusted(self, returned: float) -> float:
        """The score for what the function returned."""
        low, high = self.clamp or (None, None)
        score = self.scale * returned + self.shift
        score = score if low is None else max(low, score)
        return score if high is None else min(high, score)

    def instead(self, step: int) -> float | None:
        """What counts where the score failed, timed out or is invalid."""
        if self.on_error == "worst":
            assert self.clamp is not None
            return self.clamp[0] if self.weight_at(step) >= 0 else self.clamp[1]
        return 0.0 if self.on_error == "zero" else None


def load(
    name: str,
    path: str,
    weight: float | Schedule = 1.0,
    *,
    form: str | Mapping[str, str] | None = None,
    options: Mapping[str, Any] | None = None,
    limits: Limits = Limits(),  # noqa: B008 frozen
    group_relative: bool = False,
    **settings: Any,
) -> NamedReward:
    """Import a reward function from ``file.py:function`` or ``package.module:function``.

    Args:
        name, weight, and settings: of :class:`NamedReward`.
        path, form, options, limits, group_relative: of :class:`Source`.

    Raises:
        ConfigError: as :func:`concord.rewards.source.find` and :class:`NamedReward`.

    Example:
        >>> load("length", "concord.rewards.toolrl:length", weight=0.5).weight
        0.5
    """
    try:
        target = find(path)
    except ConfigError as error:
        raise ConfigError(f"reward {name!r}: {error}") from error
    return NamedReward(name, Source(target, path, form, options or {}, limits, group_relative), weight, **settings)


def check_distinct(names: Sequence[str]) -> None:
    """Refuse two rewards of one name: they would share one column and one curve.

    Raises:
        DuplicateName: naming them.
    """
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise DuplicateName(f"reward names must differ; used more than once: {', '.join(map(repr, twice))}")
