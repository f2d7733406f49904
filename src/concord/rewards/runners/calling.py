"""Calling a function, and writing down what came of it instead of raising."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Mapping
from typing import Any

from concord.core.errors import RewardTimeout
from concord.core.redaction import redact
from concord.core.status import FAILED, TIMED_OUT
from concord.rewards.call import Reply, RewardFunction

LONGEST_ERROR = 500
"""Characters of an exception's text that are kept; some quote all that they were given."""


def is_async(function: RewardFunction) -> bool:
    """Whether a call gives a coroutine; partials are looked through, and an object may have it on ``__call__``.

    Example:
        >>> async def judge(completions): ...
        >>> is_async(judge), is_async(functools.partial(judge, [])), is_async(len)
        (True, True, False)
    """
    while isinstance(function, functools.partial):
        function = function.func
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)


def call_plain(function: RewardFunction, arguments: Mapping[str, Any]) -> Reply:
    """What came of a call of a plain function; KeyboardInterrupt goes through."""
    try:
        return Reply(function(**arguments))
    except (Exception, SystemExit, asyncio.CancelledError) as error:
        return raised(error)


async def call_async(function: RewardFunction, arguments: Mapping[str, Any], limit: float | None) -> Reply:
    """What came of a call of a coroutine function that may take ``limit`` seconds; KeyboardInterrupt goes through.

    The limit works where the coroutine awaits something. One that is cancelled and answers all the same is late.
    """
    try:
        async with asyncio.timeout(limit) as scope:
            reply = Reply(await function(**arguments))
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():  # the whole run is being called off
            raise
        reply = raised(error)
    except (Exception, SystemExit) as error:
        reply = raised(error)
    return late(limit) if limit is not None and scope.expired() else reply


def raised(error: BaseException) -> Reply:
    """The reply for a call that raised.

    Example:
        >>> raised(ValueError("no such answer")).error
        'ValueError: no such answer'
    """
    try:
        text = " ".join(redact(str(error)[: 4 * LONGEST_ERROR])[:LONGEST_ERROR].split())
    except Exception:  # an exception may fail at saying what went wrong
        text = ""
    name = type(error).__name__
    status = TIMED_OUT if isinstance(error, RewardTimeout) else FAILED
    return Reply(status=status, error=f"{name}: {text}" if text else name, exception=error)


def late(limit: float) -> Reply:
    """The reply for a call that ran into its time limit of ``limit`` seconds.

    Example:
        >>> late(5.0).error
        'no answer within 5 s'
    """
    return Reply(status=TIMED_OUT, error=f"no answer within {limit:g} s")


def unfinished(batch_limit: float) -> Reply:
    """The reply for a call that was not through when its batch's limit of ``batch_limit`` seconds was reached."""
    return Reply(status=TIMED_OUT, error=f"not finished when the batch's {batch_limit:g} s were over")
