"""The rewards of the built-in task, in TRL's signature: ToolRL's correctness and format, and conciseness."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from concord.rewards.completions import Completion, completion_text
from concord.rewards.toolrl import correctness, format

__all__ = ["conciseness", "correctness", "exact", "format"]

SHORT_ENOUGH, TOO_LONG = 4, 20
"""Words of thinking up to which conciseness is 1, and from which it is 0."""


def conciseness(completions: Sequence[Completion], **_: Any) -> list[float]:
    """1 for short thinking, falling linearly with its words to 0; 0 without a think pair.

        reward = min(1, max(0, (20 - words) / (20 - 4))),    words between the first <think> and the next </think>

    One number for each completion. Range: [0, 1]. Words are what white space separates.

    Example:
        >>> conciseness(["<think>use hotel</think>", "<think>" + "hm " * 12 + "</think>", "no thinking"])
        [1.0, 0.5, 0.0]
    """
    return [_conciseness(completion_text(completion)) for completion in completions]


def exact(completions: Sequence[Completion], answer: Sequence[str], **_: Any) -> list[float]:
    """1 where the calls are those of the answer, in any order: where correctness is at its maximum of 3; else 0.

    The form around the calls plays no part. One number for each completion. Range: {0, 1}.

    Example:
        >>> answer = '<tool_call>\\n{"name": "hotel", "parameters": {"nights": 3}}\\n</tool_call>'
        >>> exact([answer, answer.replace("3", "4")], [answer, answer])
        [1.0, 0.0]
    """
    return [float(reward == 3.0) for reward in correctness(completions, answer)]


def _conciseness(text: str) -> float:
    _, opened, rest = text.partition("<think>")
    thinking, closed, _ = rest.partition("</think>")
    if not (opened and closed):
        return 0.0
    return min(1.0, max(0.0, (TOO_LONG - len(thinking.split())) / (TOO_LONG - SHORT_ENOUGH)))
