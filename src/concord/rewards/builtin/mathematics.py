"""Whether a completion comes to the right mathematical result."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from types import ModuleType
from typing import Any

from concord.core.errors import MissingExtra
from concord.rewards.completions import Completion, completion_text

READ = 5_000
"""Characters from the end of a completion in which its result is looked for."""

LIMIT = 5
"""Seconds for reading one result, and for comparing two, where math-verify can keep time."""

_DELIMITERS = ("$", r"\boxed", r"\(", r"\[")


def math_answer(completions: Sequence[Completion], answer: Sequence[Any], **_: Any) -> list[float | None]:
    r"""1 if the result of a completion equals the answer as a mathematical expression; 0 if not.

    Both are read and compared by math-verify: 1/2, 0.5 and ``\frac{1}{2}`` are equal. Of a completion it takes the
    result that is announced as the final answer, then what is in ``\boxed{}``, then the last formula or number. Of
    an answer in GSM8K's form what follows the last ``####`` counts; an answer without delimiters (``$``, ``\boxed``,
    ``\(``, ``\[``) is read as LaTeX.

    Only the last 5,000 characters of a completion are read. Reading and comparing may take very long, as of
    ``9^{9^{9}}``: in the main thread of a process, a worker's too, math-verify gives up after 5 seconds each and the
    score is 0. It keeps time by a signal, which other threads cannot set and which now and then gets lost, so give the
    reward a ``timeout`` as well: its process is killed then.

    Args:
        answer: the data's column; text or numbers, one for each completion.

    Range: {0, 1}.  Unjudgeable: an answer in which nothing can be read, or None, gives None; a completion in which
    nothing can be read is 0.
    Raises: MissingExtra without the package math-verify.
    Source: github.com/huggingface/Math-Verify, version 0.9. TRL's ``accuracy_reward`` uses it too, but reads of a
    completion only LaTeX with delimiters, and of an answer without delimiters only numbers and fractions.

    Example:
        >>> math_answer([r"So it is \boxed{\frac{1}{2}}.", "That makes 5 + 7 = 12."], ["0.5", "... #### 12"])
        [1.0, 1.0]
        >>> math_answer(["I do not know.", "1"], ["3", ""])
        [0.0, None]
    """
    package = _math_verify()
    return [_score(package, completion_text(c), truth) for c, truth in zip(completions, answer, strict=True)]


def _score(package: ModuleType, text: str, truth: Any) -> float | None:
    # Its clock is SIGALRM, which only the main thread may set.
    limit = LIMIT if threading.current_thread() is threading.main_thread() else None

    def read(text: str) -> list[Any]:
        try:
            found: list[Any] = package.parse(text, parsing_timeout=limit, raise_on_error=True)
        except (Exception, package.errors.TimeoutException):  # left to itself it would log the whole text
            return []
        return found

    gold = [] if truth is None else read(_gold_text(str(truth)))
    if not gold:
        return None
    return float(package.verify(gold, read(text[-READ:]), timeout_seconds=limit))


def _gold_text(answer: str) -> str:
    text = answer.rpartition("####")[2].strip()
    return text if not text or any(mark in text for mark in _DELIMITERS) else rf"\boxed{{{text}}}"


def _math_verify() -> ModuleType:
    try:
        import math_verify.errors
    except ImportError as error:
        raise MissingExtra.of("rewards", "math-verify") from error
    module: ModuleType = math_verify
    return module
