"""A worker process: loads a function once, and answers calls of it until its pool goes away."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import threading
import time
from typing import Any

from concord.core.status import FAILED
from concord.rewards.call import Reply, RewardFunction
from concord.rewards.runners.answer import Answer, traceback_text
from concord.rewards.runners.calling import call_async, call_plain, is_async, late, raised
from concord.rewards.runners.hooks import recorded
from concord.rewards.runners.offspring import MARK, kill_offspring
from concord.rewards.runners.packing import Unsendable, pack_data, unpack_arguments
from concord.rewards.runners.wire import Channel, Frame, Kind

WATCH = 1.0
"""Seconds between two looks at whether the parent lives."""


def serve(descriptor: int, parent: int) -> None:
    """Answer calls over the socket ``descriptor`` until its other end closes, or the process ``parent`` is gone.

    Then end what the function has started.
    """
    mark = os.environ.get(MARK, "")
    try:
        _serve(descriptor, parent, mark)
    finally:
        kill_offspring(os.getpid(), mark)


def _serve(descriptor: int, parent: int, mark: str) -> None:
    connection = socket.socket(fileno=descriptor)
    # What the function starts must not hold the connection open after this process.
    connection.set_inheritable(False)
    os.register_at_fork(after_in_child=connection.close)
    threading.Thread(target=_end_with, args=(parent, mark), daemon=True).start()
    # A plain function is loaded and called while the runner's loop stands still: it may run loops of its own.
    with contextlib.suppress(ConnectionError), asyncio.Runner() as runner:
        channel = Channel(connection)
        frame = runner.run(channel.receive())
        if frame is None:
            return
        try:
            set_up = unpack_arguments(frame.body)
            function, limit = set_up["target"].build(), set_up["limit"]
        except (Exception, SystemExit) as error:
            runner.run(channel.send(Kind.BROKEN, body=pack_data((raised(error).error, traceback_text(error)))))
            return
        coroutine = is_async(function)
        runner.run(channel.send(Kind.READY, body=pack_data(coroutine)))
        if coroutine:
            runner.run(_answer_together(channel, function, limit))
        else:
            _answer_in_turn(runner, channel, function, limit)


def _answer_in_turn(runner: asyncio.Runner, channel: Channel, function: RewardFunction, limit: float | None) -> None:
    while (frame := runner.run(channel.receive())) is not None:
        arguments = runner.run(_begin(channel, frame))
        if arguments is not None:
            begin = time.monotonic()
            reply = call_plain(function, arguments)
            if limit is not None and time.monotonic() - begin > limit:
                reply = late(limit)
            runner.run(_end(channel, frame, arguments, reply))


async def _answer_together(channel: Channel, function: RewardFunction, limit: float | None) -> None:
    async def answer(frame: Frame) -> None:
        with contextlib.suppress(ConnectionError):
            arguments = await _begin(channel, frame)
            if arguments is not None:
                await _end(channel, frame, arguments, await call_async(function, arguments, limit))

    async with asyncio.TaskGroup() as calls:
        while (frame := await channel.receive()) is not None:
            calls.create_task(answer(frame))


async def _begin(channel: Channel, frame: Frame) -> dict[str, Any] | None:
    """The arguments of a call that may begin; None where they cannot be read, which is the answer then."""
    try:
        arguments = unpack_arguments(frame.body)
    except Unsendable as error:
        await _end(channel, frame, {}, Reply(status=FAILED, error=str(error)))
        return None
    await channel.send(Kind.BEGUN, frame.call)
    return arguments


async def _end(channel: Channel, frame: Frame, arguments: dict[str, Any], reply: Reply) -> None:
    await channel.send(Kind.ANSWER, frame.call, Answer(reply, recorded(arguments)).pack())


def _end_with(parent: int, mark: str) -> None:
    """Kill this process and those it started once its parent is gone, whatever the function is doing.

    Only C code that keeps the interpreter's lock, as a regular expression does, is let finish first.
    """
    while os.getppid() == parent:
        time.sleep(WATCH)
    kill_offspring(os.getpid(), mark)
    os.killpg(os.getpgrp(), signal.SIGKILL)
