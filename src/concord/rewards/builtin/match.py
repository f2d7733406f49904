"""Whether a completion is the answer, to the letter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from concord.core.errors import ConfigError
from concord.rewards.completions import Completion, completion_text


def exact_match(
    completions: Sequence[Completion],
    answer: Sequence[Any],
    *,
    tag: str | None = None,
    casefold: bool = False,
    **_: Any,
) -> list[float | None]:
    """1 if a completion is the answer, white space around both ignored; 0 if not.

    Nothing else is put right: case, punctuation and Unicode forms count. An answer that is no text, a number for one,
    stands for ``str(answer)``. For numbers and formulas see :func:`concord.rewards.builtin.math_answer`.

    Args:
        answer: the data's column; one for each completion.
        tag: compare what stands between the last ``<tag>`` and the ``</tag>`` after it, in place of the whole
            completion; without such a pair the score is 0.
        casefold: whether "Paris" and "PARIS" are the same.

    Range: {0, 1}.  Unjudgeable: an answer that is None gives None.
    Raises: ConfigError if ``tag`` is not a name or ``casefold`` is neither true nor false.

    Example:
        >>> exact_match([" Paris\\n", "paris", "It is Paris."], ["Paris", "Paris", "Paris"])
        [1.0, 0.0, 0.0]
        >>> exact_match(["<think>...</think><answer>Paris</answer>"], ["paris"], tag="answer", casefold=True)
        [1.0]
    """
    if tag is not None and (not isinstance(tag, str) or not tag):
        raise ConfigError(f"tag must be a name without brackets, as answer, got {tag!r}")
    if not isinstance(casefold, bool):
        raise ConfigError(f"casefold must be true or false, got {casefold!r}")
    return [
        None if truth is None else _equal(_said(completion_text(completion), tag), str(truth), casefold)
        for completion, truth in zip(completions, answer, strict=True)
    ]


def _said(text: str, tag: str | None) -> str | None:
    if tag is None:
        return text
    _, opened, rest = text.rpartition(f"<{tag}>")
    inside, closed, _ = rest.partition(f"</{tag}>")
    return inside if opened and closed else None


def _equal(said: str | None, truth: str, casefold: bool) -> float:
    if said is None:
        return 0.0
    if casefold:
        said, truth = said.casefold(), truth.casefold()
    return float(said.strip() == truth.strip())
