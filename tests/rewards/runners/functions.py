"""Functions that misbehave in every way, for the runners to call; workers load them from here."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from concord.rewards.call import Call
from concord.rewards.runners.pool import Pool
from tests.rewards.runners.processes import wait_for

AGES = 1000.0


@dataclass(frozen=True)
class Named:
    """A function of this file, as it is."""

    name: str

    def build(self) -> Callable[..., Any]:
        function: Callable[..., Any] = globals()[self.name]
        return function


@dataclass(frozen=True)
class Broken:
    """What cannot be loaded: ``how`` says why."""

    how: str

    def build(self) -> Callable[..., Any]:
        match self.how:
            case "raises":
                raise ModuleNotFoundError("No module named 'judge'")
            case "exits":
                sys.exit("no licence")
            case "dies":
                os._exit(7)
            case "hangs":
                time.sleep(AGES)
        raise AssertionError(self.how)


class Unreadable:
    """Pickles, and cannot be unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return int, ("not a number",)


def act(do: str, value: Any = None) -> Any:
    """What ``do`` says, for good or ill."""
    match do:
        case "hang":
            time.sleep(AGES)
        case "exit":
            os._exit(3)
        case "leave":
            sys.exit("leaving")
        case "crash":
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            os.kill(os.getpid(), signal.SIGSEGV)
        case "raise":
            raise ValueError(f"no such\nanswer {value}")
        case "return an object":
            return {"rewards": [1.0, object()]}
        case "answer":
            return value
    raise AssertionError(do)


async def act_async(do: str, value: Any = None) -> Any:
    """The same, and ``wait``: a hang that can be cancelled."""
    await asyncio.sleep(0.01)
    if do == "wait":
        await asyncio.sleep(AGES)
    return act(do, value)


def process_id() -> int:
    return os.getpid()


def repeat(text: str) -> str:
    return text


async def repeat_async(text: str) -> str:
    return text


def log(names: list[str], log_extra: Any, log_metric: Any, fail: bool = False) -> int:
    log_extra("name", names)
    for name in names:
        log_metric(name, value=float(len(name)))
    if fail:
        raise RuntimeError("after logging")
    return len(names)


def step(trainer_state: Any) -> int:
    number: int = trainer_state.global_step
    return number


def hang_with_a_child(file: str) -> None:
    child = subprocess.Popen(["sleep", str(AGES)])
    Path(file).write_text(f"{os.getpid()} {child.pid}")
    time.sleep(AGES)


def have_a_worker_and_be_killed(file: str) -> None:
    def be_killed() -> None:
        wait_for(Path(file))
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=be_killed).start()
    Pool(Named("hang_with_a_child")).run([Call({"file": file}, 1)])


def die_and_leave_a_fork() -> None:
    if os.fork() == 0:
        time.sleep(AGES)
    os._exit(3)


def count_and_die(file: str) -> None:
    with Path(file).open("a") as out:
        out.write("x")
    os._exit(3)


def own_event_loop() -> str:
    return asyncio.run(asyncio.sleep(0, result="done"))


def imported(names: list[str]) -> list[str]:
    return [name for name in names if name in sys.modules]


def talk() -> None:
    print("hello from a worker")


UNDER_WAY = 0


async def crowd(pause: float = 0.05) -> int:
    """How many calls are under way at once."""
    global UNDER_WAY
    UNDER_WAY += 1
    await asyncio.sleep(pause)
    most = UNDER_WAY
    await asyncio.sleep(pause)
    UNDER_WAY -= 1
    return most


async def own_timeout() -> None:
    async with asyncio.timeout(0.01):
        await asyncio.sleep(AGES)


async def stubborn() -> str:
    try:
        await asyncio.sleep(AGES)
    except asyncio.CancelledError:
        return "too late"
    return "never"


async def leave_in_a_task() -> None:
    async def leave() -> None:
        sys.exit("leaving")

    await asyncio.gather(leave(), asyncio.sleep(AGES))
