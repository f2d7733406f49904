"""The arguments of a call as the function gets them: copies that it may edit, here and in another process.

What an engine adds is no data: hooks to log with, the state of its run, environments. These are handed on in their own
way.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

HOOKS = ("log_extra", "log_metric")
"""What TRL's reward functions log with."""

STATE = "trainer_state"
"""TRL's state of the run; its class lives in transformers."""

TOKENS = ("completion_ids", "response_token_ids")
"""Lists of lists of numbers, too many to look at each."""

LIVE = "environments"
"""TRL's environments: a reward reads what the rollouts have left in them, so they cannot be copies."""

_ATOMS = frozenset({str, int, float, bool, bytes, complex, type(None)})
"""Types whose values nobody can edit."""

Log = Mapping[str, Sequence[tuple[Sequence[Any], Mapping[str, Any]]]]
"""For each hook, the positional and keyword arguments of each time that it was called."""


class Recorder:
    """Stands in for a hook, and remembers what it was called with.

    Example:
        >>> recorder = Recorder()
        >>> recorder("length", value=3.0)
        >>> recorder.calls
        [(('length',), {'value': 3.0})]
    """

    def __init__(self) -> None:
        self.calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = []

    def __call__(self, *args: Any, **kwargs: Any) -> None:
        self.calls.append((args, kwargs))


def own(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments for one call in this process: copies that the function may edit.

    Text and numbers need no copy. Lists, dicts and tuples are copied to the ground, and no two places share one, as
    equal prompts of a group do before. Other objects (arrays, images) are copied as they copy themselves; one that
    cannot is handed on. Hooks and environments stay what they are, and of the trainer's state it is a copy.

    Example:
        >>> chat = [{"role": "assistant", "content": "4"}]
        >>> mine = own({"completions": [chat, chat]})
        >>> mine["completions"][0][0]["content"] = "5"
        >>> chat[0]["content"], mine["completions"][1][0]["content"]
        ('4', '4')
    """
    return {name: _own(name, value) for name, value in arguments.items()}


def portable(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments, with a recorder in the place of each hook, and of the trainer's state its attributes.

    A worker would take seconds to import the state's class, and then do the same with it: read ``global_step``.
    """
    return {name: _portable(name, value) for name, value in arguments.items()}


def recorded(arguments: Mapping[str, Any]) -> Log:
    """What the recorders among the arguments were called with."""
    return {name: value.calls for name, value in arguments.items() if isinstance(value, Recorder)}


def replay(arguments: Mapping[str, Any], log: Log) -> None:
    """Call the hooks among the arguments with what their recorders were called with."""
    for name, calls in log.items():
        for args, kwargs in calls:
            arguments[name](*args, **kwargs)


def _own(name: str, value: Any) -> Any:
    if name in HOOKS or name == LIVE:
        return value
    if name in TOKENS:
        return [ids.copy() if type(ids) is list else copied(ids) for ids in value]
    return copy.copy(value) if name == STATE else copied(value)


def copied(value: Any) -> Any:
    """Return a copy of data that shares nothing with it that could be edited."""
    kind = type(value)
    if kind in _ATOMS:
        return value
    if kind is list:
        return value.copy() if set(map(type, value)) <= _ATOMS else [copied(item) for item in value]
    if kind is dict:
        plain = set(map(type, value.values())) <= _ATOMS
        return value.copy() if plain else {key: copied(item) for key, item in value.items()}
    if kind is tuple:
        return tuple(copied(item) for item in value)
    try:
        return copy.deepcopy(value)
    except RecursionError:
        raise
    except Exception:  # an open file, a lock
        return value


def _portable(name: str, value: Any) -> Any:
    if name in HOOKS and callable(value):
        return Recorder()
    if name == STATE:
        return SimpleNamespace(**vars(value)) if hasattr(value, "__dict__") else value
    return value if name == LIVE else copied(value)
