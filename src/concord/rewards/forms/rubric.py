"""The reward functions of verifiers (v0), and how a Rubric calls and adds them."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from concord.core.errors import ConfigError
from concord.rewards.call import RewardFunction
from concord.rewards.forms.groups import each, group_scores, settled
from concord.rewards.forms.parameters import as_function, by_keyword, name_of, required, taken
from concord.rewards.forms.parser import Parser
from concord.rewards.forms.returned import MAIN

Rollout = Mapping[str, Any]
PLURAL = {name: f"{name}s" for name in ("prompt", "completion", "answer", "state", "info", "task")}
"""What a function for one rollout and one for a group call the same thing."""


@dataclass(frozen=True, eq=False)
class Part:
    """A reward function with its weight and the objects of its Rubric."""

    name: str
    function: RewardFunction
    weight: float
    objects: Mapping[str, Any]

    @property
    def grouped(self) -> bool:
        """Whether it scores the rollouts of one prompt together, as plural names say."""
        return bool(set(PLURAL.values()) & set(by_keyword(self.function)))

    @property
    def coroutine(self) -> bool:
        """Whether it is to be awaited."""
        return inspect.iscoroutinefunction(self.function)

    def facts(self, rollouts: Sequence[Rollout]) -> Mapping[str, Any]:
        """What it may ask for, beside objects, of one rollout or of a group."""
        if not self.grouped:
            return rollouts[0]
        return {many: [r[one] for r in rollouts] for one, many in PLURAL.items() if one in rollouts[0]}

    def unknown(self, rollouts: Sequence[Rollout]) -> list[str]:
        """The names that it reads and neither a rollout nor the Rubric knows."""
        known = {*self.facts([with_state(rollout) for rollout in rollouts]), *self.objects}
        return [name for name in required(self.function) if name not in known]

    async def score(self, rollouts: Sequence[Rollout], which: Sequence[int]) -> Any:
        """What the function returns for one rollout or for a group, given what it asks for by name."""
        facts = self.facts([rollouts[index] for index in which])
        return await settled(self.function(**taken(self.function, {**facts, **self.objects})))


_LISTS = (("funcs", "weights"), ("reward_funcs", "reward_weights"))


def is_rubric(target: Any) -> bool:
    """A Rubric or RubricGroup by its attributes: functions and weights, or further Rubrics."""
    if inspect.isclass(target):
        return False
    return _listed(target) is not None or isinstance(getattr(target, "rubrics", None), list)


def _listed(rubric: Any) -> tuple[list[Any], list[Any]] | None:
    """The functions and the weights of a Rubric, under whichever names its version has for them."""
    for functions, weights in _LISTS:
        found = getattr(rubric, functions, None), getattr(rubric, weights, None)
        if isinstance(found[0], list) and isinstance(found[1], list):
            return found[0], found[1]
    return None


def parts_of(rubric: Any) -> list[Part]:
    """The functions of a Rubric, or of all Rubrics of a group, in order.

    Raises:
        ConfigError: none at all, two of one name, or not a weight for each.
    """
    parts = _parts(rubric)
    names = [MAIN, *(part.name for part in parts)]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError(
            f"the {type(rubric).__name__} has {twice[0]!r} twice; each function's name is a column, as 'score'"
        )
    if parts:
        return parts
    raise ConfigError(f"the {type(rubric).__name__} has no reward functions")


def _parts(rubric: Any) -> list[Part]:
    if isinstance(getattr(rubric, "rubrics", None), list):
        return [part for inner in rubric.rubrics for part in _parts(inner)]
    functions, weights = _listed(rubric) or ([], [])
    if len(functions) != len(weights):
        raise ConfigError(f"a Rubric has {len(functions)} functions and {len(weights)} weights")
    objects = {"parser": getattr(rubric, "parser", None) or Parser(), **getattr(rubric, "class_objects", {})}
    pairs = zip(map(as_function, functions), weights, strict=True)
    return [Part(name_of(function), function, weight, objects) for function, weight in pairs]


async def score(parts: Sequence[Part], rollouts: Sequence[Rollout]) -> list[dict[str, Any]]:
    """What each function says of each rollout, and under ``score`` their weighted sum.

    Functions go in order, and those of one rollout share its state. The sum is None where one abstains that has a
    weight; there verifiers counts 0, as it does for one that raises.
    """
    rollouts = [with_state(rollout) for rollout in rollouts]
    together = any(part.coroutine for part in parts) and len(rollouts) > 1
    rows: list[dict[str, Any]] = [{MAIN: 0.0} for _ in rollouts]
    for part in parts:
        if part.grouped:
            values = await group_scores(
                [r["prompt"] for r in rollouts], functools.partial(part.score, rollouts), together
            )
        else:
            values = await each((part.score(rollouts, [index]) for index in range(len(rollouts))), together)
        for row, value in zip(rows, values, strict=True):
            row[part.name] = value
            row[MAIN] = _added(row[MAIN], value, part.weight)
    return rows


def with_state(rollout: Rollout) -> Rollout:
    """The facts about a rollout, and once more as the state, which the functions of a Rubric share.

    Put together where the functions run, so that there they are the same messages.
    """
    return {**rollout["facts"], "state": {**rollout["facts"], "input": rollout["input"]}}


def _added(total: Any, value: Any, weight: float) -> Any:
    if not weight:
        return total
    return None if total is None or value is None else total + weight * value
