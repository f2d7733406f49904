"""Checking what a configuration passes as ``options``: once a call, with a message that names the option."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import Any

from concord.core.errors import ConfigError, nearest


def whole(name: str, value: Any, least: int = 1) -> int:
    """``value`` if it is a whole number of at least ``least``.

    Raises:
        ConfigError: it is not.

    Example:
        >>> whole("target", 0)
        Traceback (most recent call last):
        concord.core.errors.ConfigError: target must be a whole number of at least 1, got 0
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ConfigError(f"{name} must be a whole number of at least {least}, got {short(value)}")
    return value


def positive(name: str, value: Any) -> float:
    """``value`` if it is a finite number above 0. Raises ConfigError if it is not."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise ConfigError(f"{name} must be a number above 0, got {short(value)}")
    return value


def one_of(name: str, value: Any, known: Collection[str]) -> str:
    """``value`` if it is one of ``known``. Raises ConfigError, naming the nearest, if it is not."""
    if not isinstance(value, str) or value not in known:
        near = nearest(value, known) if isinstance(value, str) else ""
        raise ConfigError(f"{name} is one of {', '.join(known)}; got {short(value)}{near}")
    return value


def texts(name: str, value: Any) -> Sequence[str]:
    """``value`` if it is a list of strings. Raises ConfigError if it is not."""
    if not isinstance(value, list | tuple) or not all(isinstance(entry, str) for entry in value):
        raise ConfigError(f"{name} must be a list of strings, got {short(value)}")
    return value


def short(value: Any) -> str:
    """``repr(value)``, cut to what fits a message."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
