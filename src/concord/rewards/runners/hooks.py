"""What an engine adds to the arguments of a call, where the call is made in another process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

HOOKS = ("log_extra", "log_metric")
"""What TRL's reward functions log with."""

STATE = "trainer_state"
"""TRL's state of the run; its class lives in transformers."""

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


def _portable(name: str, value: Any) -> Any:
    if name in HOOKS and callable(value):
        return Recorder()
    return SimpleNamespace(**vars(value)) if name == STATE and hasattr(value, "__dict__") else value
