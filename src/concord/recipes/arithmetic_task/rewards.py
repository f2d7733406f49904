"""The rewards of the arithmetic task, in TRL's signature: the answer, the form, and whether the steps lead there."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from concord.recipes.arithmetic_task.problems import Step
from concord.rewards.completions import Completion, completion_text

# No int() of more digits than any sum has: text of a model may be anything.
_STEP = re.compile(r"([0-9]{1,4}) ([+-]) ([0-9]{1,4}) = ([0-9]{1,4})")
_ANSWER = re.compile(r"answer ([0-9]{1,4})")


def correct(completions: Sequence[Completion], answer: Sequence[str], **_: Any) -> list[float]:
    """1 where the last line gives the answer's number, whatever stands before it; else 0.

    One number for each completion. Range: {0, 1}.

    Example:
        >>> correct(["answer 13", "8 + 5 = 12\\nanswer 13", "13"], ["8 + 5 = 13\\nanswer 13"] * 3)
        [1.0, 1.0, 0.0]
    """
    texts = map(completion_text, completions)
    return [float(_result(text) == _result(truth) is not None) for text, truth in zip(texts, answer, strict=True)]


def format(completions: Sequence[Completion], **_: Any) -> list[float]:
    """1 for steps, one a line, and the answer in the last line; else 0. Their truth plays no part.

    One number for each completion. Range: {0, 1}.

    Example:
        >>> format(["8 + 5 = 12\\nanswer 7", "answer 13", "8 + 5 = 13"])
        [1.0, 0.0, 0.0]
    """
    texts = map(completion_text, completions)
    return [float(bool(_steps(text)) and _result(text) is not None) for text in texts]


def sound(completions: Sequence[Completion], answer: Sequence[str], **_: Any) -> list[float]:
    """1 where true steps lead from the answer's terms, each used once and in any order, to its number; else 0.

    What is sound is correct and in the form; what is correct need not be sound.
    One number for each completion. Range: {0, 1}.

    Example:
        >>> answer = "8 + 5 = 13\\n13 - 3 = 10\\nanswer 10"
        >>> other, lucky = "8 - 3 = 5\\n5 + 5 = 10\\nanswer 10", "8 + 5 = 12\\n12 - 3 = 10\\nanswer 10"
        >>> sound([other, lucky, "answer 10"], [answer] * 3)
        [1.0, 0.0, 0.0]
    """
    texts = map(completion_text, completions)
    return [float(_sound(text, truth)) for text, truth in zip(texts, answer, strict=True)]


def _sound(text: str, truth: str) -> bool:
    steps, wanted = _steps(text), _steps(truth)
    if not steps or not wanted or not _result(text) == _result(truth) is not None:
        return False
    true = all(step.left + step.term == step.result for step in steps)
    linked = all(step.result == after.left for step, after in pairwise(steps))
    return true and linked and _terms(steps) == _terms(wanted)


def _terms(steps: Sequence[Step]) -> list[int]:
    return sorted([steps[0].left, *(step.term for step in steps)])


def _steps(text: str) -> list[Step]:
    """The lines before the last; none if one of them is no step."""
    found = [_STEP.fullmatch(line) for line in text.split("\n")[:-1]]
    steps = [Step(int(m[1]), int(m[3]) * (-1 if m[2] == "-" else 1), int(m[4])) for m in found if m]
    return steps if len(steps) == len(found) else []


def _result(text: str) -> int | None:
    match = _ANSWER.fullmatch(text.rpartition("\n")[2])
    return int(match[1]) if match else None
