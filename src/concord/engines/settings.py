"""What the configuration of an engine says to Concord, checked before anything is loaded: verl's, slime's, miles'."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from concord.core.catalogue import builder
from concord.core.errors import ConcordError, ConfigError, UnknownName, nearest
from concord.core.groups import Groups
from concord.core.rollouts import Rollouts
from concord.core.typed_options import checked
from concord.methods import Method, create

SUPPLIED = frozenset({"lengths", "truncated"})
"""The columns that these engines give a chain."""

_KEYS = ("method", "args", "rewards", "noise_floor")

_ELSEWHERE = "for which the engine has no place in its batches; Concord's trainer for TRL has"


@dataclass(frozen=True)
class Settings:
    """A method of the catalogue, its parameters, and the names of its rewards.

    Attributes:
        method, args: as in ``concord.create(method, **args)``.
        rewards: the keys of the rewards in what a reward function returns for one rollout.
        where: the section that they were read from, for messages.
        noise_floor: by reward, how near to its group's mean a score says nothing (:class:`concord.Rollouts`).

    Raises:
        ConfigError: a parameter that the method does not have, or a value that it does not take; a method that
            needs what the engine does not give, has a learner, or brings a KL penalty of its own; one that hands its
            loss more than an advantage a response, or whole groups; a reward named twice, or none.
    """

    method: str
    rewards: tuple[str, ...]
    args: Mapping[str, Any] = field(default_factory=dict)
    where: str = "concord"
    noise_floor: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        try:
            self._check()
        except ConcordError as error:
            raise ConfigError(f"{self.where}{error}") from error

    def build(self) -> Method:
        """The method."""
        return create(self.method, **self.args)

    @property
    def weights(self) -> dict[str, float]:
        """The rewards' weights by name; one that is not named has weight 1."""
        return dict(self.args.get("weights", ()))

    def _check(self) -> None:
        if twice := sorted({name for name in self.rewards if self.rewards.count(name) > 1}):
            raise ConfigError(f".rewards names {twice[0]!r} twice")
        if not self.rewards:
            raise ConfigError(".rewards names no reward; list the keys of the reward function's dict that are rewards")
        try:
            known = inspect.signature(builder(self.method)).parameters
        except UnknownName as error:
            raise ConfigError(f".method: {error}") from error
        for name in self.args:
            if name not in known:
                raise ConfigError(f".args: {self.method} has no {name!r}" + nearest(name, known))
        if faults := checked(self.args, builder(self.method))[1]:
            raise ConfigError(f".args.{faults[0]}")
        if all(self.weights.get(name, 1) == 0 for name in self.rewards):
            raise ConfigError(".args.weights: the weight of every reward is 0, so nothing would be learnt")
        try:
            self._try()
        except (ConcordError, TypeError, ValueError) as error:
            raise ConfigError(f": method {self.method!r}: {error}") from error

    def _try(self) -> None:
        """Meet what would go wrong after the first generation before it."""
        method = self.build()
        if method.learner is not None:
            raise ConfigError("it trains a learner beside the policy, which only Concord's trainer for TRL does")
        if absent := sorted(method.needs - SUPPLIED):
            raise ConfigError(f"it needs columns {absent}; the engine gives {sorted(SUPPLIED)}")
        if statistics := sorted(method.objective.statistics):
            raise ConfigError(f"its loss reads {statistics} of the policy's distribution, {_ELSEWHERE}")
        if method.objective.whole_groups:
            raise ConfigError(f"its loss looks at whole groups, {_ELSEWHERE}")
        if method.objective.needs_reference:
            raise ConfigError("it brings a KL penalty of its own; give it to the engine")
        columns = {"lengths": torch.ones(2), "truncated": torch.zeros(2, dtype=torch.bool)}
        scores = torch.zeros(2, len(self.rewards))
        rollouts = Rollouts(scores, Groups.uniform(1, 2), self.rewards, columns, self.noise_floor)
        if method.signal(rollouts).token_advantages is not None:
            raise ConfigError(f"it tells the tokens of a response apart, {_ELSEWHERE}")
        if written := sorted(method.signal.writes):
            raise ConfigError(f"its chain writes columns {written} for the loss, {_ELSEWHERE}")


def read(section: Any, where: str) -> Settings:
    """The settings in a section of an engine's configuration.

    Args:
        section: plain keys and values.
        where: what the section is called there.

    Raises:
        ConfigError: a key is not known (the nearest is named), a value is of the wrong kind, or as :class:`Settings`.

    Example:
        >>> read({"method": "gd2po", "args": {"tau": 0.5}, "rewards": ["right", "short"]}, "concord").args
        {'tau': 0.5}
        >>> read({"methd": "gd2po", "rewards": ["right"]}, "concord")
        Traceback (most recent call last):
        concord.core.errors.ConfigError: concord has no key 'methd'; did you mean 'method'?
    """
    if not isinstance(section, Mapping):
        raise ConfigError(f"{where} must hold keys and values, got {section!r}")
    for key in section:
        if key not in _KEYS:
            raise ConfigError(f"{where} has no key {key!r}" + nearest(str(key), _KEYS))
    method, args, rewards, floors = (section.get(key) for key in _KEYS)
    if not isinstance(method, str):
        raise ConfigError(f"{where}.method must be the name of a method, got {method!r}")
    if args is not None and not isinstance(args, Mapping):
        raise ConfigError(f"{where}.args must hold keys and values, got {args!r}")
    if not (isinstance(rewards, list | tuple | None) and all(isinstance(name, str) for name in rewards or ())):
        raise ConfigError(f"{where}.rewards must be a list of names, got {rewards!r}")
    if floors is not None and not isinstance(floors, Mapping):
        raise ConfigError(f"{where}.noise_floor must hold a number for each reward's name, got {floors!r}")
    return Settings(method, tuple(rewards or ()), dict(args or {}), where, dict(floors or {}))
