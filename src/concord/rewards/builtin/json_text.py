"""Whether a completion is JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NoReturn

from concord.rewards.builtin.fences import fenced_blocks
from concord.rewards.builtin.options import texts
from concord.rewards.completions import Completion, completion_text


def json_valid(completions: Sequence[Completion], *, required: Sequence[str] = (), **_: Any) -> list[float]:
    """1 if a completion, or its first fenced block, is one JSON document; 0 if not.

    White space around the document is ignored. NaN and Infinity are not JSON. What is nested more deeply than Python
    reads (some hundreds of levels, by version) is 0 as well, though it may be JSON.

    Args:
        required: keys that the document must have; it is an object then.

    Range: {0, 1}.  Unjudgeable: none; an empty completion is 0.
    Raises: ConfigError if ``required`` is not a list of strings.
    Source: RFC 8259.

    Example:
        >>> json_valid(['{"name": "Ada"}', 'Here:\\n```json\\n[1, 2]\\n```', "{'name': 'Ada'}"])
        [1.0, 1.0, 0.0]
        >>> json_valid(['{"name": "Ada"}', '["name"]'], required=["name"])
        [1.0, 0.0]
    """
    texts("required", required)
    return [float(_is_json(completion_text(completion), required)) for completion in completions]


def _is_json(text: str, required: Sequence[str]) -> bool:
    candidates = [text, *(block.text for block in fenced_blocks(text)[:1])]
    return any(_fits(candidate, required) for candidate in candidates)


def _fits(text: str, required: Sequence[str]) -> bool:
    try:
        # Numbers stay text: their values do not matter, and Python refuses to read integers of very many digits.
        value = json.loads(text, parse_int=str, parse_float=str, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return False
    return not required or (isinstance(value, dict) and all(key in value for key in required))


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")
