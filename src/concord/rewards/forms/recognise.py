"""What can be told of a reward function by its parameters' names, without calling it."""

from __future__ import annotations

import inspect
from typing import Any

from concord.core.errors import ConfigError
from concord.rewards.forms.parameters import as_function, by_keyword, rest


def names(target: Any) -> list[str]:
    """The names of a function's parameters, in order; none of a class, or where they do not show."""
    if inspect.isclass(target):
        return []
    try:
        return by_keyword(as_function(target))
    except ConfigError:
        return []


def takes_rest(target: Any) -> bool:
    """Whether its parameters end with ``**kwargs``."""
    return bool(names(target)) and rest(as_function(target)) is not None


def orm_base(target: Any) -> str | None:
    """The name of ms-swift's base class that a class or an object is derived from; None if it is not."""
    cls = target if inspect.isclass(target) else type(target)
    return next((base.__name__ for base in cls.__mro__ if base.__name__ in ("ORM", "AsyncORM")), None)


def found(target: Any, *wanted: str) -> str | None:
    """``"parameters a, b"``, for those of ``wanted`` that it has; None if it has none."""
    there = [name for name in names(target) if name in wanted]
    return f"parameter{'s' * (len(there) > 1)} {', '.join(there)}" if there else None
