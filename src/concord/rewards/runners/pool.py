"""Calls in worker processes, which can be killed."""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Sequence

from concord.core.errors import ConfigError, RewardError
from concord.rewards.call import Call, Reply
from concord.rewards.runners.answer import Answer
from concord.rewards.runners.calling import raised
from concord.rewards.runners.dispatch import Dispatch
from concord.rewards.runners.event_loop import EventLoop
from concord.rewards.runners.hooks import replay
from concord.rewards.runners.packing import Unsendable, pack_arguments
from concord.rewards.runners.process import ENDING, Worker
from concord.rewards.runners.target import Loadable
from concord.rewards.source import Limits


class Pool:
    """Makes calls in worker processes, so that a call that hangs or dies costs itself and nothing else.

    A worker has one call of a plain function under way, or up to ``concurrency`` of a coroutine function. A call that
    is past its limit is answered ``TIMED_OUT``; if it does not end then, its worker is killed, with all that the worker
    has started (on Linux also what has a session of its own). A call whose worker dies is answered ``FAILED``. Other
    calls in that worker are made again: a call that others could have harmed may so be made twice, and what comes of it
    does not depend on the number of workers.

    Workers are started when they are first needed, by a fresh interpreter (no fork, no import of ``__main__``), live
    until :meth:`close`, and end by themselves if this process does. What they print goes to standard error.
    Arguments have to pickle; results come back as plain data (numbers, text, lists, dicts; of tensors and arrays their
    numbers). What a call logs with TRL's ``log_extra`` and ``log_metric`` is logged here, in the order of the calls;
    TRL's ``trainer_state`` arrives as its attributes.

    Args:
        target: what a worker loads.
        workers: processes.
        timeout: seconds for one call, from its beginning in the worker; None = no limit.
        batch_timeout: seconds for one ``run``, from the first worker that is ready; None = no limit.
        concurrency: calls of a coroutine function that are under way at once in each worker.

    Raises:
        ConfigError: a value that is not positive, options that do not pickle, or a platform without process groups.
    """

    def __init__(
        self,
        target: Loadable,
        *,
        workers: int = 1,
        timeout: float | None = None,
        batch_timeout: float | None = None,
        concurrency: int = 32,
    ) -> None:
        if os.name != "posix":
            raise ConfigError("worker processes and time limits need Linux or macOS; leave them out of the reward here")
        self._limits = Limits(timeout=timeout, batch_timeout=batch_timeout, workers=workers, concurrency=concurrency)
        try:
            self._set_up = pack_arguments({"target": target, "limit": timeout})
        except Unsendable as error:
            raise ConfigError(f"{target!r}: {error}") from error
        self._loop = EventLoop()
        self._workers: list[Worker | None] = [None] * workers
        self._running = threading.Lock()
        self._end = weakref.finalize(self, _end, self._workers, os.getpid())

    def run(self, calls: Sequence[Call]) -> list[Reply]:
        """One reply for each call, in the order of the calls.

        Raises:
            RewardError: the pool is closed.
        """
        with self._running:
            if not self._end.alive:
                raise RewardError("these workers have been closed; make a new pool")
            answers = self._loop.complete(Dispatch(calls, self._workers, self._set_up, self._limits).run())
        return [_replayed(call, answer) for call, answer in zip(calls, answers, strict=True)]

    def close(self) -> None:
        """End the workers, and what they have started."""
        with self._running:
            self._end()
            self._loop.close()


def _replayed(call: Call, answer: Answer) -> Reply:
    try:
        replay(call.arguments, answer.log)
    except Exception as error:  # what the call would have met with the hook itself
        return raised(error)
    return answer.reply


def _end(workers: list[Worker | None], owner: int) -> None:
    if os.getpid() != owner:  # a fork of the pool's process ends; the workers are not its own
        return
    living = [worker for worker in workers if worker is not None]
    workers[:] = [None] * len(workers)
    for worker in living:
        worker.hang_up()
    deadline = time.monotonic() + ENDING
    for worker in living:
        worker.end(deadline)
