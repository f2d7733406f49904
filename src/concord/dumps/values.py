"""Numbers and texts, as different writers put them down."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

_WRAPPED = re.compile(
    r"\s*(?:(?:np|numpy)\.)?(?:float|int|uint|bool|tensor)_?\d*\(([^(),\[\]]{1,64})(?:,[^()]{0,64})?\)\s*"
)
"""``np.float64(0.5)``, ``tensor(0.5, dtype=...)``: a scalar's repr, which is how some writers store it."""

_NOTHING = {"", "none", "null", "nan"}


def number(value: object) -> float:
    """A float for what a dump holds as a score: numbers, booleans, numbers as text, lists of one.

    NaN stands for nothing: None, NaN, an empty text. Infinity stands for what is there and cannot be
    used: an infinite or too large number, a text or list that is none.

    Example:
        >>> number("np.float64(0.5)"), number(True), number([2]), number("n/a"), number(None)
        (0.5, 1.0, 2.0, inf, nan)
    """
    if isinstance(value, float | int):  # also bool, and numpy's float64
        try:
            return float(value)
        except OverflowError:
            return math.inf
    if value is None:
        return math.nan
    if isinstance(value, str):
        return _number_in(value)
    if isinstance(value, list | tuple) and len(value) == 1 and not isinstance(value[0], list | tuple):
        return number(value[0])
    return math.inf


def _number_in(text: str) -> float:
    if match := _WRAPPED.fullmatch(text):
        text = match[1]
    text = text.strip()
    if text.lower() in _NOTHING:
        return math.nan
    if text in ("True", "False"):
        return float(text == "True")
    try:
        return float(text)
    except ValueError:
        return math.inf


def is_number(value: object) -> bool:
    """Whether a value is a number without being read as one: not a text, unless it is a scalar's repr.

    A text such as "42" may as well be an extracted answer.
    """
    if isinstance(value, str):
        return _WRAPPED.fullmatch(value) is not None and math.isfinite(_number_in(value))
    return isinstance(value, float | int)


def fact(value: object) -> float:
    """A number that is no score (a length, an advantage, a flag): NaN where it is unusable."""
    found = number(value)
    return found if math.isfinite(found) else math.nan


def whole(value: object) -> int | None:
    """An integer (a step, an index) of 64 bits, however it is written; None if it is none.

    Example:
        >>> whole("12"), whole(3.0), whole("3.5"), whole(None)
        (12, 3, None, None)
    """
    if not isinstance(value, int):
        value = number(value)
        if not math.isfinite(value) or value != int(value):
            return None
    return int(value) if abs(value) < 2**63 else None


def text(value: object) -> str:
    """What a prompt or completion says: a text, a conversation, or parts of one.

    A conversation of one message is its content; a longer one is written with its roles. Halves of
    surrogate pairs, which JSON can smuggle in and no file can hold, become "?".

    Example:
        >>> text([{"role": "user", "content": "2+2?"}, {"role": "assistant", "content": "4"}])
        '[user]\\n2+2?\\n\\n[assistant]\\n4'
    """
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "replace").decode("utf-8")
    if value is None:
        return ""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, Mapping):
        return _message(value, with_role=False)
    if isinstance(value, Sequence):
        if value and all(isinstance(part, Mapping) and "role" in part for part in value):
            return "\n\n".join(_message(part, with_role=len(value) > 1) for part in value)
        return "\n".join(text(part) for part in value)
    return str(value)


def split_conversation(messages: object) -> tuple[str, str]:
    """Prompt and completion of a whole conversation: what stands before the first assistant's turn, and the rest."""
    if not isinstance(messages, Sequence) or isinstance(messages, str):
        return text(messages), ""
    roles = [part.get("role") if isinstance(part, Mapping) else None for part in messages]
    first = roles.index("assistant") if "assistant" in roles else len(roles)
    return text(messages[:first]), text(messages[first:])


def _message(message: Mapping[str, Any], *, with_role: bool) -> str:
    content = message.get("content", message.get("text", ""))
    calls = message.get("tool_calls")
    parts = [text(content)] if content else []
    parts += [json.dumps(call, ensure_ascii=True, default=str) for call in calls or () if isinstance(call, Mapping)]
    body = "\n".join(parts)
    return f"[{text(message.get('role'))}]\n{body}" if with_role else body
