"""Running a coroutine from code that is not one."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
from collections.abc import Coroutine
from concurrent.futures import Future, wait
from typing import Any, TypeVar

T = TypeVar("T")


def complete(coroutine: Coroutine[Any, Any, T]) -> T:
    """What the coroutine returns, or raises; it runs in an event loop and a thread of its own.

    A thread of its own, because the caller's may have an event loop running (a notebook's, an async engine's). If
    the waiting caller is interrupted, the coroutine is cancelled and its end awaited before the interrupt goes on.

    Example:
        >>> complete(asyncio.sleep(0, result="done"))
        'done'
    """
    running: Future[tuple[asyncio.AbstractEventLoop, asyncio.Task[Any]]] = Future()
    outcome: Future[T] = Future()

    async def run() -> T:
        task = asyncio.current_task()
        assert task is not None
        running.set_result((asyncio.get_running_loop(), task))
        return await coroutine

    def work() -> None:
        try:
            result = asyncio.run(run())
        except BaseException as error:
            outcome.set_exception(error)
        else:
            outcome.set_result(result)

    context = contextvars.copy_context()
    threading.Thread(target=context.run, args=(work,), name="concord-calls", daemon=True).start()
    try:
        return outcome.result()
    except BaseException:
        if not outcome.done():
            loop, task = running.result()
            with contextlib.suppress(RuntimeError):  # the loop has closed just now
                loop.call_soon_threadsafe(task.cancel)
            wait([outcome])
        raise
