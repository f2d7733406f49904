"""An event loop that outlives a batch, for code that is not a coroutine."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import inspect
import os
import threading
import weakref
from collections.abc import Coroutine
from concurrent.futures import Future, wait
from typing import Any, TypeVar

T = TypeVar("T")

ENDING = 5.0
"""Seconds that what still runs in a loop is given to end when the loop is closed."""


class EventLoop:
    """An event loop in a thread of its own, from its first use until :meth:`close`.

    What a coroutine function keeps between calls is bound to the loop that it first waited in: clients, sessions,
    semaphores, tasks in the background. So there has to be one loop for all batches. The loop has a thread of its own,
    because the caller's thread may have a loop running (a notebook's, an async engine's).

    Example:
        >>> loop = EventLoop()
        >>> loop.complete(asyncio.sleep(0, result="done"))
        'done'
        >>> loop.close()
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._end: weakref.finalize[..., EventLoop] | None = None

    def complete(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Return what the coroutine returns, or raise what it raises.

        If the waiting caller is interrupted, the coroutine is cancelled and its end awaited before the interrupt goes
        on.
        """
        loop = self._started()
        outcome: Future[T] = Future()
        context = contextvars.copy_context()
        tasks: list[asyncio.Task[T]] = []

        def begin() -> None:
            task = loop.create_task(coroutine, context=context)
            tasks.append(task)
            task.add_done_callback(settle)

        def settle(task: asyncio.Task[T]) -> None:
            error = asyncio.CancelledError() if task.cancelled() else task.exception()
            if error is None:
                outcome.set_result(task.result())
            else:
                outcome.set_exception(error)

        loop.call_soon_threadsafe(begin)
        try:
            return outcome.result()
        except BaseException:
            if not outcome.done():
                loop.call_soon_threadsafe(lambda: [task.cancel() for task in tasks])
                wait([outcome])
            raise

    def close(self) -> None:
        """Cancel what still runs, and end the loop; the next :meth:`complete` would start another one."""
        with self._lock:
            end, self._loop, self._end = self._end, None, None
        if end is not None:
            end()

    def _started(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                thread = threading.Thread(target=_run, args=(self._loop,), name="concord-calls", daemon=True)
                thread.start()
                self._end = weakref.finalize(self, _end, self._loop, thread, os.getpid())
            return self._loop


def _run(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        while True:
            try:
                loop.run_forever()
                break
            # A task raised it; whoever awaits the task has it too, and the other tasks go on.
            except (SystemExit, KeyboardInterrupt):
                continue
        _wind_up(loop)
    finally:
        asyncio.set_event_loop(None)
        loop.close()


def _wind_up(loop: asyncio.AbstractEventLoop) -> None:
    """Cancel the tasks that are left, and close what generators hold: clients, for one."""

    async def ending() -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            if inspect.iscoroutine(task.get_coro()):  # not what closes a generator that nobody holds any more
                task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=ENDING)
        await asyncio.wait_for(loop.shutdown_asyncgens(), ENDING)

    # Whatever ends with an error here has nobody to tell.
    with contextlib.suppress(Exception, SystemExit, KeyboardInterrupt):
        loop.run_until_complete(ending())


def _end(loop: asyncio.AbstractEventLoop, thread: threading.Thread, owner: int) -> None:
    if os.getpid() != owner:  # a fork has the loop's memory, and not its thread
        return
    with contextlib.suppress(RuntimeError):  # it has been closed already
        loop.call_soon_threadsafe(loop.stop)
    if thread is not threading.current_thread():
        thread.join(2 * ENDING)
