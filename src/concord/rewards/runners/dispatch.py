"""One batch of calls on its way through the workers of a pool."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence

from concord.core.status import FAILED
from concord.rewards.call import Call, Reply
from concord.rewards.runners.answer import Answer, NoAnswer
from concord.rewards.runners.calling import unfinished
from concord.rewards.runners.hooks import portable
from concord.rewards.runners.packing import Unsendable, pack_arguments
from concord.rewards.runners.process import NotStarted, Worker
from concord.rewards.source import Limits


class Dispatch:
    """Hands calls to workers, and replaces the workers that are lost.

    A call is to blame for the loss of its worker if it was the only one under way there. Where several were, each is
    made again, alone in a worker, so that what comes of a call does not depend on which others it met.

    Args:
        calls: the calls.
        workers: the pool's workers, in its slots; None where there is none yet. Kept up to date.
        set_up: what a new worker is told.
        limits: the pool's.
    """

    def __init__(self, calls: Sequence[Call], workers: list[Worker | None], set_up: bytes, limits: Limits) -> None:
        self._calls = calls
        self._workers = workers
        self._set_up = set_up
        self._limits = limits
        self._answers: dict[int, Answer] = {}
        self._waiting = deque(range(len(calls)))
        self._suspects: deque[int] = deque()
        self._news = asyncio.Event()
        self._not_started = Reply(status=FAILED, error="no worker was started")

    async def run(self) -> list[Answer]:
        """One answer for each call, in their order."""
        try:
            async with asyncio.timeout(None) as self._scope, asyncio.TaskGroup() as slots:
                for slot in range(min(len(self._workers), len(self._calls))):
                    slots.create_task(self._serve(slot))
            rest = self._not_started
        except TimeoutError:
            assert self._limits.batch_timeout is not None
            rest = unfinished(self._limits.batch_timeout)
        return [self._answers.get(index, Answer(rest, {})) for index in range(len(self._calls))]

    async def _serve(self, slot: int) -> None:
        """Keep one slot's worker busy until every call is answered."""
        while await self._more():
            try:
                worker = await self._worker(slot)
            except NotStarted as error:
                self._not_started = error.reply
                return
            try:
                async with worker.listening():
                    while await self._more() and worker.loss is None:
                        await self._employ(worker)
            finally:
                if worker.loss is not None:
                    self._workers[slot] = None
                    await worker.bury()

    async def _more(self) -> bool:
        """Wait until there is something to do; False once every call is answered."""
        while not (self._waiting or self._suspects) and len(self._answers) < len(self._calls):
            self._news.clear()
            await self._news.wait()
        return len(self._answers) < len(self._calls)

    async def _worker(self, slot: int) -> Worker:
        worker = self._workers[slot]
        if worker is not None and not worker.alive:  # it died since the last batch
            self._workers[slot] = None
            await worker.bury()
            worker = None
        if worker is None:
            worker = await self._new_worker()
            self._workers[slot] = worker
        # The batch's clock starts with the first worker that is there.
        if self._limits.batch_timeout is not None and self._scope.when() is None:
            self._scope.reschedule(asyncio.get_running_loop().time() + self._limits.batch_timeout)
        return worker

    async def _new_worker(self) -> Worker:
        try:
            worker = Worker(self._limits.timeout)
        except OSError as error:
            raise NotStarted(f"no worker could be started: {error}", error) from error
        try:
            await worker.start(self._set_up)
        except BaseException:
            await worker.bury()
            raise
        return worker

    async def _employ(self, worker: Worker) -> None:
        """Give the worker calls until none wait or it is lost; or one suspect, alone."""
        if not self._waiting:
            await self._make(worker, self._suspects.popleft())
            return

        async def lane() -> None:
            while self._waiting and worker.loss is None:
                await self._make(worker, self._waiting.popleft())

        async with asyncio.TaskGroup() as lanes:
            for _ in range(self._limits.concurrency if worker.concurrent else 1):
                lanes.create_task(lane())

    async def _make(self, worker: Worker, index: int) -> None:
        try:
            body = pack_arguments(portable(self._calls[index].arguments))
        except (Unsendable, RecursionError) as error:
            self._answers[index] = Answer(Reply(status=FAILED, error=str(error)), {})
        else:
            packed = await worker.ask(index, body)
            if packed is not None:
                self._answers[index] = self._read(worker, packed)
            elif worker.suspects == {index} and worker.loss is not None:
                self._answers[index] = Answer(worker.loss, {})
            elif index in worker.suspects:
                self._suspects.append(index)
            else:
                self._waiting.append(index)
        self._news.set()

    @staticmethod
    def _read(worker: Worker, packed: bytes) -> Answer:
        try:
            return Answer.unpack(packed)
        except NoAnswer as error:
            worker.distrust(str(error))
            return Answer(Reply(status=FAILED, error=str(error)), {})
