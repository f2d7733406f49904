"""Plain data: what a worker may send back, so that the training process never builds an object of its choosing."""

from __future__ import annotations

import decimal
import math
import numbers
from collections.abc import Callable, Mapping
from typing import Any

# Not ``str(value)`` and its like: a subclass may have its own idea of them, as an enumeration of strings has.
_SCALARS: dict[type, Callable[[Any], Any]] = {
    int: int.__int__,
    float: float.__float__,
    str: str.__str__,
    bytes: bytes.__bytes__,
}


class NotPlain(TypeError):
    """There is something in a value that is not plain data; the message says what and where."""


def plain(value: Any, where: str = "") -> Any:
    """The same value in None, bool, int, float, str, bytes, list, tuple and dict alone.

    Tensors and arrays become nested lists, their scalars numbers, decimal and other real numbers floats,
    subclasses what they are a subclass of. A set has no order that two processes would agree on, and is refused.

    Args:
        value: what a reward function returned or logged.
        where: the place of the value in a larger one, for the message.

    Raises:
        NotPlain: anything else, or nested too deeply.

    Example:
        >>> import fractions, torch
        >>> plain({"rewards": torch.tensor([1.0, 0.5]), "half": fractions.Fraction(1, 2), "pair": (True, None)})
        {'rewards': [1.0, 0.5], 'half': 0.5, 'pair': (True, None)}
        >>> plain({"rewards": [1.0, object()]})
        Traceback (most recent call last):
        concord.rewards.runners.plain.NotPlain: ['rewards'][1] is of type object
    """
    try:
        return _plain(value, where)
    except RecursionError:
        raise NotPlain(f"{where or 'it'} is nested too deeply") from None


def _plain(value: Any, where: str) -> Any:
    if value is None or type(value) in (bool, int, float, str, bytes):
        return value
    if isinstance(value, list | tuple):
        items = [_plain(item, f"{where}[{index}]") for index, item in enumerate(value)]
        return items if isinstance(value, list) else tuple(items)
    if isinstance(value, Mapping):
        return {_plain(key, f"a key of {where}"): _plain(item, f"{where}[{key!r}]") for key, item in value.items()}
    for kind, exactly in _SCALARS.items():
        if isinstance(value, kind):
            return exactly(value)
    if hasattr(value, "tolist"):  # a tensor, an array, or a scalar of theirs
        return _plain(value.tolist(), where)
    if isinstance(value, decimal.Decimal) and value.is_snan():
        return math.nan
    if isinstance(value, numbers.Real | decimal.Decimal):
        return float(value)
    raise NotPlain(f"{where or 'it'} is of type {type(value).__name__}")
