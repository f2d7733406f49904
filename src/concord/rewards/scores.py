"""Calling a reward function, and checking what it returns before it becomes a gradient."""

from __future__ import annotations

import functools
import inspect
import math
import numbers
import reprlib
from collections import Counter
from collections.abc import Callable
from typing import Any, Protocol

import torch

from concord.core.errors import RewardError
from concord.rewards.named import NamedReward

PASSED = ("prompts", "completions", "completion_ids", "trainer_state", "log_extra", "log_metric")
"""What TRL passes beside the columns of the data set, by keyword."""

SCORED, ABSTAINED, INVALID = "scored", "abstained", "invalid"
"""A finite number; None; NaN, an infinity, or what is one in float32, in which engines keep scores."""

_LARGEST = torch.finfo(torch.float32).max


class CheckedReward(Protocol):
    """A reward function for TRL that has gone through :func:`checked`.

    Attributes:
        counts: how many scores of each status there were, over all calls.
    """

    __name__: str
    counts: Counter[str]

    def __call__(self, **batch: Any) -> Any: ...


def checked(reward: NamedReward) -> CheckedReward:
    """The function of a reward as TRL takes it, under the reward's name, with its scores checked.

    Returns a function that gives a list with one float or None for each completion: see :func:`read_scores`.
    Abstained and invalid scores are both None there, and are counted apart: in ``counts``, and, where TRL hands in
    ``log_metric``, as the shares ``rewards/<name>/abstained`` and ``rewards/<name>/invalid``. A coroutine function
    stays one, so that TRL awaits several together.

    Raises:
        RewardError: now, if the function does not take what TRL passes; on a call, if it raises (the original is
            chained), or as :func:`read_scores`.

    Example:
        >>> shout = checked(NamedReward("shout", lambda completions, **_: [c.isupper() for c in completions]))
        >>> shout(completions=["HEY", "hey"]), shout.__name__
        ([1.0, 0.0], 'shout')
    """
    _check_signature(reward)
    counts: Counter[str] = Counter()

    def finish(result: Any, batch: dict[str, Any]) -> list[float | None]:
        scores, statuses = read_scores(reward.name, result, len(batch["completions"]))
        counts.update(statuses)
        if "log_metric" in batch:
            for status in (ABSTAINED, INVALID):
                share = statuses.count(status) / max(len(statuses), 1)
                batch["log_metric"](f"rewards/{reward.name}/{status}", share)
        return scores

    def score(**batch: Any) -> list[float | None]:
        try:
            result = reward.function(**batch)
        except Exception as error:
            raise _raised(reward.name, error) from error
        return finish(result, batch)

    async def score_async(**batch: Any) -> list[float | None]:
        try:
            result = await reward.function(**batch)
        except Exception as error:
            raise _raised(reward.name, error) from error
        return finish(result, batch)

    function: Any = score_async if _is_async(reward.function) else score
    function.__name__ = function.__qualname__ = reward.name
    function.__doc__ = inspect.getdoc(reward.function)
    function.counts = counts
    checked_function: CheckedReward = function
    return checked_function


def read_scores(name: str, result: Any, expected: int) -> tuple[list[float | None], list[str]]:
    """What a reward function returned, as scores and the status of each; both have length ``expected``.

    A number or a bool is a score; None means that the reward abstains; NaN, infinities and what is too large for
    float32 are invalid and give None as well.

    Args:
        name: the reward's, for the messages.
        result: a list, tuple, array or tensor.
        expected: the number of completions.

    Raises:
        RewardError: ``result`` is of another kind, has the wrong length, or holds something that is no number.

    Example:
        >>> read_scores("tidy", [1, None, float("nan")], 3)
        ([1.0, None, None], ['scored', 'abstained', 'invalid'])
        >>> read_scores("tidy", [1.0], 2)
        Traceback (most recent call last):
        concord.core.errors.RewardError: reward 'tidy' returned 1 score for 2 completions; return one for each, ...
    """
    if not isinstance(result, list | tuple):
        if not getattr(result, "shape", ()):  # torch's and NumPy's; a scalar has the empty shape
            raise RewardError(
                f"reward {name!r} returned {_kind(result)}; return a list with one score for each completion"
            )
        result = result.tolist()
    if len(result) != expected:
        raise RewardError(
            f"reward {name!r} returned {len(result)} score{'s' * (len(result) != 1)} for {expected} completions; "
            "return one for each, and None for those it does not judge"
        )
    found = [_number(name, index, entry) for index, entry in enumerate(result)]
    statuses = [_status(number) for number in found]
    return [n if status == SCORED else None for n, status in zip(found, statuses, strict=True)], statuses


def _number(name: str, index: int, entry: Any) -> float | None:
    if entry is None:
        return None
    value = entry.item() if getattr(entry, "shape", None) == () else entry  # a scalar of torch or NumPy
    if not isinstance(value, numbers.Real):
        raise RewardError(
            f"reward {name!r} returned {_kind(entry)} at index {index}; a score is a number, or None to abstain"
        )
    try:
        return float(value)
    except OverflowError:  # an integer or fraction beyond float64
        return math.inf


def _status(number: float | None) -> str:
    if number is None:
        return ABSTAINED
    return SCORED if abs(number) <= _LARGEST else INVALID  # NaN is not <= anything


def _is_async(function: Callable[..., Any]) -> bool:
    """As TRL decides it: partials are looked through, and an object may carry ``async`` on its ``__call__``."""
    while isinstance(function, functools.partial):
        function = function.func
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)


def _check_signature(reward: NamedReward) -> None:
    try:
        signature = inspect.signature(reward.function)
    except (TypeError, ValueError):  # some built-in functions have none to show
        return
    try:
        signature.bind_partial(**dict.fromkeys(PASSED))
    except TypeError as error:
        raise RewardError(
            f"reward {reward.name!r}: {error} by {signature}; TRL passes {', '.join(PASSED)} and the data's columns "
            "by keyword: name those it reads and end the parameters with **kwargs"
        ) from error


def _raised(name: str, error: Exception) -> RewardError:
    return RewardError(f"reward {name!r} raised {type(error).__name__}: {error}")


def _kind(value: Any) -> str:
    return f"{reprlib.repr(value)} ({type(value).__name__})"
