"""Calls in this process: no process to start, and nothing that could be killed."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Sequence

from concord.core.errors import ConfigError
from concord.rewards.call import Call, Reply, RewardFunction
from concord.rewards.runners.calling import call_async, call_plain, is_async, unfinished
from concord.rewards.runners.event_loop import EventLoop
from concord.rewards.runners.hooks import own
from concord.rewards.source import Limits


class Inline:
    """Makes calls in this process.

    A plain function is called for one after another, in the caller's thread. Of a coroutine function up to
    ``concurrency`` calls are under way at once, in one event loop for all batches, and its limits are cooperative: they
    work where it awaits something. What blocks, or must not be trusted to stop, belongs in a :class:`Pool`.

    A call gets copies of its arguments (:func:`concord.rewards.runners.hooks.own`), as it does in a pool: what it edits
    is its own.

    Args:
        function: called with ``Call.arguments`` as keywords.
        loop: where a coroutine function runs, closed by its owner; None = one of its own.
        concurrency: calls of a coroutine function that are under way at once.
        timeout: seconds for one call, from its beginning; None = no limit.
        batch_timeout: seconds for one ``run``; None = no limit.

    Raises:
        ConfigError: a time limit on a plain function, or a value that is not positive.

    Example:
        >>> runner = Inline(lambda text: 1 / len(text))
        >>> for reply in runner.run([Call({"text": "four"}, 1), Call({"text": ""}, 1)]):
        ...     print(reply.value, reply.status, reply.error)
        0.25 None None
        None failed ZeroDivisionError: division by zero
    """

    def __init__(
        self,
        function: RewardFunction,
        *,
        concurrency: int = 32,
        timeout: float | None = None,
        batch_timeout: float | None = None,
        loop: EventLoop | None = None,
    ) -> None:
        self._limits = Limits(timeout=timeout, batch_timeout=batch_timeout, concurrency=concurrency)
        self._function = function
        self._async = is_async(function)
        self._loop = loop or EventLoop()
        self._owns_loop = loop is None
        if not self._async and self._limits.apart:
            raise ConfigError(
                "a plain function cannot be stopped in this process, so it takes no time limit here; run it in workers"
            )

    def run(self, calls: Sequence[Call]) -> list[Reply]:
        """One reply for each call, in the order of the calls; raises nothing but KeyboardInterrupt."""
        if not self._async:
            return [call_plain(self._function, call.arguments, own) for call in calls]
        replies: dict[int, Reply] = {}
        self._loop.complete(self._run(calls, replies))
        rest = unfinished(self._limits.batch_timeout or math.inf)
        return [replies.get(index, rest) for index in range(len(calls))]

    def close(self) -> None:
        """End the event loop, if it is this runner's own."""
        if self._owns_loop:
            self._loop.close()

    async def _run(self, calls: Sequence[Call], replies: dict[int, Reply]) -> None:
        waiting = iter(enumerate(calls))

        async def lane() -> None:
            for index, call in waiting:  # the lanes share one iterator
                replies[index] = await call_async(self._function, call.arguments, self._limits.timeout, own)

        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._limits.batch_timeout), asyncio.TaskGroup() as lanes:
                for _ in range(min(self._limits.concurrency, len(calls))):
                    lanes.create_task(lane())
