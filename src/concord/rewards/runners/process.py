"""A worker process as its pool sees it: started, asked, lost."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator

from concord.core.status import FAILED, TIMED_OUT
from concord.rewards.call import Reply
from concord.rewards.runners import boot
from concord.rewards.runners.answer import RemoteError
from concord.rewards.runners.calling import late, raised
from concord.rewards.runners.offspring import MARK, kill_offspring, new_mark
from concord.rewards.runners.packing import unpack_data
from concord.rewards.runners.wire import Channel, Kind

START_LIMIT = 120.0
"""Seconds for what is not the call itself: loading the function, and taking a call."""

GRACE = 1.0
"""Seconds after a call's limit in which the worker may say so itself; then it is killed."""

ENDING = 2.0
"""Seconds that a worker is given to end by itself."""


class NotStarted(Exception):
    """A worker did not come up; ``reply`` is what every call is answered."""

    def __init__(self, error: str, exception: BaseException | None = None) -> None:
        super().__init__(error)
        self.reply = Reply(status=FAILED, error=error, exception=exception)


class Worker:
    """One process with a socket to it, in a session and process group of its own.

    Attributes:
        concurrent: whether it takes several calls at once: its function is a coroutine function.
        loss: None while it can be used; then the reply to the call that is to blame for its loss.
        suspects: the calls of which one is to blame.
    """

    def __init__(self, limit: float | None) -> None:
        self.concurrent = False
        self.loss: Reply | None = None
        self.suspects: frozenset[int] = frozenset()
        self._limit = limit
        self._asked: dict[int, _Asked] = {}
        self._mark = new_mark()
        self._socket, theirs = socket.socketpair()
        with theirs:
            try:
                self._process = _start(theirs.fileno(), self._mark)
            except OSError:
                self._socket.close()
                raise

    @property
    def alive(self) -> bool:
        """Whether it can be asked."""
        return self.loss is None and self._process.poll() is None

    async def start(self, set_up: bytes) -> None:
        """Wait until the function is loaded.

        Raises:
            NotStarted: it cannot be loaded, or not in time.
        """
        channel = Channel(self._socket)
        try:
            async with asyncio.timeout(START_LIMIT):
                with contextlib.suppress(OSError):  # a worker that is gone already has nothing to say either
                    await channel.send(Kind.SET_UP, body=set_up)
                frame = await channel.receive()
        except TimeoutError:
            raise NotStarted(f"a worker had not loaded the function after {START_LIMIT:g} s") from None
        if frame is None:
            raise NotStarted(f"a worker died while it loaded the function: {await self._ending()}")
        try:
            content = unpack_data(frame.body)
            if frame.kind is Kind.READY:
                self.concurrent = bool(content)
                return
            kind, (error, text) = frame.kind, map(str, content)
        except Exception as fault:  # whatever hostile bytes make of the unpickler
            said = raised(fault).error
            raise NotStarted(f"a worker sent what cannot be read while it loaded the function ({said})") from fault
        if kind is not Kind.BROKEN:
            raise NotStarted(f"a worker sent {kind.name} while it loaded the function")
        raise NotStarted(f"a worker could not load the function: {error}", RemoteError(text))

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Take what the worker says; :meth:`ask` works in here."""
        self._channel = Channel(self._socket)
        listener = asyncio.create_task(self._listen())
        try:
            yield
        finally:
            listener.cancel()
            await asyncio.wait([listener])

    async def ask(self, call: int, body: bytes) -> bytes | None:
        """The packed answer to a call; None if the worker is lost meanwhile, as it is if the limit passes."""
        asked = self._asked[call] = _Asked()
        try:
            async with asyncio.timeout(None if self._limit is None else START_LIMIT + self._limit) as scope:
                with contextlib.suppress(OSError):  # the listener hears of it too
                    await self._channel.send(Kind.CALL, call, body)
                await asked.begun
                if self._limit is not None:
                    scope.reschedule(asyncio.get_running_loop().time() + self._limit + GRACE)
                return await asked.answer
        except TimeoutError:
            assert self._limit is not None
            waited = f"no worker had taken the call after {START_LIMIT + self._limit:g} s"
            self._lose(late(self._limit) if asked.has_begun else Reply(status=TIMED_OUT, error=waited))
            return None
        except asyncio.CancelledError:
            self._lose(Reply(status=FAILED, error="called off"))
            raise
        finally:
            del self._asked[call]

    def distrust(self, why: str) -> None:
        """Let go of the worker, whose function has the connection in its hands; other calls are made again."""
        self._lose(Reply(status=FAILED, error=why))

    async def bury(self) -> None:
        """Kill the process and those that it started, and let go of it."""
        self._kill()
        await self._ended(ENDING)
        self._socket.close()

    def hang_up(self) -> None:
        """Tell an idle worker to end."""
        with self._socket, contextlib.suppress(OSError):  # the worker may have ended already
            self._socket.shutdown(socket.SHUT_RDWR)  # also if a fork of this process holds a copy

    def end(self, deadline: float) -> None:
        """Wait until the process has ended, or kill it at ``deadline`` of the monotonic clock."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(max(deadline - time.monotonic(), 0.0))
        self._kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(ENDING)

    async def _listen(self) -> None:
        while (frame := await self._channel.receive()) is not None:
            asked = self._asked.get(frame.call)
            if frame.kind not in (Kind.BEGUN, Kind.ANSWER):
                self.distrust(f"the worker sent what is not an answer ({frame.kind.name})")
                return
            if asked is not None and frame.kind is Kind.BEGUN:
                asked.begin()
            elif asked is not None:
                asked.settle(frame.body)
        self._lose(Reply(status=FAILED, error=f"the worker died: {await self._ending()}"))

    def _lose(self, reply: Reply) -> None:
        if self.loss is None:
            begun = frozenset(call for call, asked in self._asked.items() if asked.has_begun)
            self.loss, self.suspects = reply, begun or frozenset(self._asked)
            self._kill()
            for asked in self._asked.values():
                asked.settle(None)

    async def _ending(self) -> str:
        """How the process ended: ``exit status 3``, ``signal SIGSEGV``."""
        status = await self._ended(ENDING)
        if status is None:
            return "it closed its connection"
        if status >= 0:
            return f"exit status {status}"
        number = -status
        name = signal.Signals(number).name if number in set(signal.Signals) else str(number)
        return f"signal {name}" + (", as a system short of memory sends" if number == signal.SIGKILL else "")

    async def _ended(self, patience: float) -> int | None:
        deadline = time.monotonic() + patience
        while self._process.poll() is None and time.monotonic() < deadline:
            await asyncio.sleep(0.005)
        return self._process.returncode

    def _kill(self) -> None:
        # Also after the process itself has ended: what it started may go on. Its children while it lives, as they are
        # known by their parent then; afterwards what was started meanwhile.
        kill_offspring(self._process.pid, self._mark)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        kill_offspring(self._process.pid, self._mark)


class _Asked:
    """What is to come of a call that a worker has been sent."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.begun: asyncio.Future[None] = loop.create_future()
        self.answer: asyncio.Future[bytes | None] = loop.create_future()

    @property
    def has_begun(self) -> bool:
        """Waiting in vain for a future cancels it, which is not what is asked here."""
        return self.begun.done() and not self.begun.cancelled()

    def begin(self) -> None:
        if not self.begun.done():
            self.begun.set_result(None)

    def settle(self, body: bytes | None) -> None:
        self.begin()
        if not self.answer.done():
            self.answer.set_result(body)


def _start(descriptor: int, mark: str) -> subprocess.Popen[bytes]:
    arguments = json.dumps([descriptor, os.getpid(), [str(path) for path in sys.path]])
    return subprocess.Popen(
        [sys.executable, "-u", "-P", boot.__file__, arguments],
        pass_fds=[descriptor],
        stdin=subprocess.DEVNULL,
        stdout=2,  # what this process prints may be a table or JSON
        start_new_session=True,
        env={"PYTHONHASHSEED": "0", **os.environ, MARK: mark},  # sets have one order in all workers
    )
