"""What the parameters of a reward function are called, and whether they take what a framework passes."""

from __future__ import annotations

import contextlib
import functools
import inspect
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from concord.core.errors import ConfigError, MissingColumn, nearest
from concord.rewards.call import RewardFunction

_BY_KEYWORD = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def as_function(target: Any) -> RewardFunction:
    """``target`` as a function or method, on which ``inspect.iscoroutinefunction`` answers; of an object, its method.

    Raises:
        ConfigError: it is a class, or cannot be called.
    """
    if isinstance(target, functools.partial):
        return functools.partial(as_function(target.func), *target.args, **target.keywords)
    if inspect.isclass(target) or not callable(target):
        raise ConfigError(f"{target!r} is a {type(target).__name__}, not a function; name a function or an instance")
    function: RewardFunction = target if inspect.isroutine(target) else target.__call__
    return function


def returning(function: RewardFunction, make: Callable[[Any], Any]) -> RewardFunction:
    """``function``, of whose result ``make`` makes plain data where the function runs; a coroutine function stays one.

    It keeps name and parameters. A framework's own classes could not be sent from a worker.
    """
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def later(*args: Any, **kwargs: Any) -> Any:
            return make(await function(*args, **kwargs))

        return later

    @functools.wraps(function)
    def now(*args: Any, **kwargs: Any) -> Any:
        return make(function(*args, **kwargs))

    return now


def name_of(function: Any) -> str:
    """The name of a function, also of a partial's; of an object's ``__call__`` that of its class."""
    while isinstance(function, functools.partial):
        function = function.func
    name: str = getattr(function, "__name__", type(function).__name__)
    return type(function.__self__).__name__ if name == "__call__" else name


def title(function: Any) -> str:
    """What to call a function in a message: ``compute_score()``."""
    return f"{name_of(function)}()"


def parameters(function: RewardFunction) -> Mapping[str, inspect.Parameter]:
    """Of a partial those that are left, the bound ones as keywords with a default; ConfigError if it shows none."""
    try:
        return inspect.signature(function).parameters
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{title(function)} does not show its parameters; wrap it in a function that does") from error


def by_keyword(function: RewardFunction) -> list[str]:
    """The names under which it takes arguments, in order."""
    return [name for name, parameter in parameters(function).items() if parameter.kind in _BY_KEYWORD]


def by_position(function: RewardFunction) -> list[str]:
    """The names of those that can be passed by position as well as by keyword, in order."""
    return [name for name, parameter in parameters(function).items() if parameter.kind is _BY_KEYWORD[0]]


def required(function: RewardFunction) -> list[str]:
    """The names without a default."""
    named = {name: p for name, p in parameters(function).items() if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)}
    return [name for name, parameter in named.items() if parameter.default is parameter.empty]


def rest(function: RewardFunction) -> str | None:
    """The name of its ``**kwargs``; None if it takes no keywords but those it names."""
    return next((name for name, p in parameters(function).items() if p.kind is p.VAR_KEYWORD), None)


def taken(function: RewardFunction, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Those of ``arguments`` that it takes: all with ``**kwargs``, else those it names; an option keeps its value."""
    bound = function.keywords if isinstance(function, functools.partial) else {}
    names = arguments if rest(function) is not None else by_keyword(function)
    return {name: value for name, value in arguments.items() if name in names and name not in bound}


def check_takes(function: RewardFunction, passed: Iterable[str], framework: str) -> None:
    """Refuse a function that would fail on the keywords that a framework passes, read or not."""
    names = by_keyword(function)
    untaken = [] if rest(function) is not None else [name for name in passed if name not in names]
    if untaken:
        raise ConfigError(
            f"{title(function)} does not take {', '.join(untaken)}, which {framework} passes by keyword beside the "
            "data's columns: name those it reads and end the parameters with **kwargs"
        )


def check_known(function: RewardFunction, passed: Iterable[str], framework: str) -> None:
    """Refuse a function that needs what the framework never passes."""
    known = list(passed)
    for name in required(function):
        if name not in known:
            raise ConfigError(
                f"{title(function)} needs {name!r}, which {framework} does not pass{nearest(name, known)}; it passes "
                f"{', '.join(known)}: give the parameter a default, or a value under options:"
            )


def check_columns(
    function: RewardFunction, arguments: Mapping[str, Any], columns: Iterable[str], engine: Iterable[str]
) -> None:
    """Refuse to call a function that reads a column which the data do not have, or what this ``engine`` lacks."""
    for name in required(function):
        if name not in arguments:
            if name in engine:
                raise MissingColumn(f"{title(function)} reads {name!r}, which is known in training only, and not here")
            raise no_column(f"{title(function)} reads {name!r}", [name], columns)


def no_column(who: str, wanted: Iterable[str], columns: Iterable[str]) -> MissingColumn:
    """The error that says which column to add, and which there are."""
    names, there = list(wanted), sorted(columns)
    return MissingColumn(
        f"{who}, and the data have no column {' or '.join(map(repr, names))}{nearest(names[0], there)}; they have: "
        f"{', '.join(there) or 'none'}; add one, or rename one"
    )


def unpacked(entry: Any) -> Any:
    """Return what an entry of a column holds: tables without nested columns have a mapping as JSON text.

    Example:
        >>> unpacked('{"ground_truth": "7"}'), unpacked("seven")
        ({'ground_truth': '7'}, 'seven')
    """
    if isinstance(entry, str):
        with contextlib.suppress(ValueError, RecursionError):
            return json.loads(entry)
    return entry
