"""Calling a function, and writing down what came of it instead of raising."""

from __future__ import annotations

import asyncio
import functools
import inspect
import os
import sysconfig
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
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


Prepare = Callable[[Mapping[str, Any]], Mapping[str, Any]]
"""What is made of the arguments before a call; if it raises, the call has failed."""


def as_they_are(arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the arguments: what came from another process is the function's own already."""
    return arguments


def call_plain(function: RewardFunction, arguments: Mapping[str, Any], prepare: Prepare = as_they_are) -> Reply:
    """What came of a call of a plain function; KeyboardInterrupt goes through."""
    try:
        return Reply(function(**prepare(arguments)))
    except (Exception, SystemExit, asyncio.CancelledError) as error:
        return raised(error)


async def call_async(
    function: RewardFunction, arguments: Mapping[str, Any], limit: float | None, prepare: Prepare = as_they_are
) -> Reply:
    """What came of a call of a coroutine function that may take ``limit`` seconds; KeyboardInterrupt goes through.

    The limit works where the coroutine awaits something. One that is cancelled and answers all the same is late.
    """
    try:
        async with asyncio.timeout(limit) as scope:
            reply = Reply(await function(**prepare(arguments)))
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
    return Reply(status=status, error=f"{name}: {text}" if text else name, exception=error, place=place_of(error))


def place_of(error: BaseException) -> str | None:
    """Return where an exception was raised, ``file:line in function``; None where nobody knows.

    This is the innermost frame of the user's: neither Concord's, nor of an installed library that it called. Where
    there is no such frame it is the innermost one.
    """
    every = traceback.extract_tb(error.__traceback__)
    frames = [frame for frame in every if not frame.filename.startswith(_OURS)] or every
    users = [frame for frame in frames if not frame.filename.startswith(("<", _STDLIB)) and _SITE not in frame.filename]
    for frame in reversed(users or frames):
        return f"{frame.filename}:{frame.lineno} in {frame.name}"
    return None


_OURS = tuple(str(Path(__file__).parents[1] / room) for room in ("forms", "runners"))
"""What is between the caller and every function."""

_STDLIB = sysconfig.get_path("stdlib")
_SITE = f"{os.sep}site-packages{os.sep}"


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
