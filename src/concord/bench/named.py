"""Methods and tasks by name, with parameters: ``gd2po:tau=0.5``, ``tools3:group=16,rate=3e-4``."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

from concord.bench.candidates import CANDIDATES
from concord.bench.controls import CONTROLS
from concord.bench.tasks import TASKS, Task
from concord.core import safe_yaml
from concord.core.errors import ConfigError, UnknownName, nearest
from concord.core.typed_options import arguments
from concord.methods import Method, builder, names

SETTABLE = ("prompts", "group", "steps", "updates", "rate", "limit")
"""The fields of a task that may be set by name."""


OURS = {**CONTROLS, **CANDIDATES}
"""What can be compared and is no method of the catalogue."""


def method_of(text: str) -> Method:
    """A method of the catalogue, a control or a candidate.

    Raises:
        UnknownName: no such name.
        ConfigError: a parameter that it does not have, or a value that it does not take.

    Example:
        >>> method_of("gd2po:tau=0.5").signal.stages[2]
        MaskConflicts(tau=0.5)
    """
    name, values = _parsed(text)
    known = [*names("*", "advantage", "loss"), *OURS]
    if name not in known:
        raise UnknownName(
            f"no method, control or candidate {name!r}; there are {', '.join(known)}" + nearest(name, known)
        )
    build = OURS[name] if name in OURS else builder(name)
    taken = arguments(values, build, repr(text))
    try:
        made: Method = build(**taken)
    except (TypeError, ValueError) as error:  # a value that the method does not take
        raise ConfigError(f"{text!r}: {error}") from error
    return made


def task_of(text: str) -> Task:
    """A task, some of its numbers set otherwise.

    Raises:
        UnknownName: no such task.
        ConfigError: a field that cannot be set so, or a value that is no positive number.

    Example:
        >>> task_of("bandit:group=4,steps=5").group
        4
    """
    name, values = _parsed(text)
    if name not in TASKS:
        raise UnknownName(f"no task {name!r}; there are {', '.join(TASKS)}" + nearest(name, TASKS))
    _check(text, values, SETTABLE)
    task = TASKS[name]
    for key, value in values.items():
        kinds = (int, float) if key == "rate" else (int,)
        if type(value) not in kinds or not 0 < value < float("inf"):
            kind = "number" if key == "rate" else "whole number"
            raise ConfigError(f"{text!r}: {key} is a positive {kind}, not {value!r}")
    if values.get("group", task.group) < 2:
        raise ConfigError(f"{text!r}: a group of one has nothing to be compared with")
    return dataclasses.replace(task, **values)


def _parsed(text: str) -> tuple[str, dict[str, Any]]:
    name, colon, rest = text.partition(":")
    values: dict[str, Any] = {}
    for part in rest.split(",") if colon else ():
        key, equals, value = part.partition("=")
        if not equals or key in values:
            raise ConfigError(f"{text!r}: write name:key=value,key=value, each key once")
        values[key] = _value(text, value)
    return name, values


def _value(text: str, value: str) -> Any:
    try:
        return safe_yaml.read(value)
    except ConfigError as error:
        raise ConfigError(f"{text!r}: {value!r} is no value: {error}") from error


def _check(text: str, values: Iterable[str], known: Iterable[str]) -> None:
    known = list(known)
    for key in values:
        if key not in known:
            raise ConfigError(f"{text!r}: no parameter {key!r}; there are {', '.join(known)}" + nearest(key, known))
