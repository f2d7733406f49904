"""Calls in this process: plain functions one by one, coroutine functions together."""

from __future__ import annotations

import asyncio
import functools
import gc
import threading
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest

from concord.core.errors import ConfigError
from concord.core.status import FAILED, TIMED_OUT
from concord.rewards.call import Call, Reply
from concord.rewards.runners import Inline
from concord.rewards.runners.event_loop import EventLoop
from concord.rewards.runners.hooks import own, portable
from tests.rewards.runners import functions


def calls(*arguments: dict[str, Any]) -> list[Call]:
    return [Call(each, 1) for each in arguments]


def acts(*names: str) -> list[Call]:
    return calls(*({"do": name, "value": index} for index, name in enumerate(names)))


def outcomes(replies: list[Reply]) -> list[tuple[Any, str | None, str | None]]:
    return [(reply.value, reply.status, reply.error) for reply in replies]


@pytest.mark.parametrize("function", [functions.act, functions.act_async, functools.partial(functions.act_async)])
def test_replies_are_in_order_and_what_is_raised_is_kept(function: Callable[..., Any]) -> None:
    replies = Inline(function).run(acts("answer", "raise", "leave", "answer"))
    assert outcomes(replies) == [
        (0, None, None),
        (None, FAILED, "ValueError: no such answer 1"),
        (None, FAILED, "SystemExit: leaving"),
        (3, None, None),
    ]
    assert isinstance(replies[1].exception, ValueError)


def interrupted() -> None:
    raise KeyboardInterrupt


async def interrupted_async() -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("function", [interrupted, interrupted_async])
def test_an_interrupt_goes_through(function: Callable[..., Any]) -> None:
    with pytest.raises(KeyboardInterrupt):
        Inline(function).run(calls({}))


@pytest.mark.parametrize("limits", [{"timeout": 1.0}, {"batch_timeout": 1.0}])
def test_a_plain_function_takes_no_limit_here(limits: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="run it in workers"):
        Inline(functions.act, **limits)


def test_calls_are_under_way_together_up_to_the_concurrency() -> None:
    replies = Inline(functions.crowd, concurrency=3).run(calls(*[{"pause": 0.02}] * 7))
    assert max(reply.value for reply in replies) == 3


def test_a_call_is_timed_out_and_the_others_are_not() -> None:
    replies = Inline(functions.act_async, timeout=1.0).run(acts("answer", "wait", "answer"))
    assert outcomes(replies) == [(0, None, None), (None, TIMED_OUT, "no answer within 1 s"), (2, None, None)]


@pytest.mark.parametrize(
    ("function", "outcome"),
    [
        (functions.stubborn, (None, TIMED_OUT, "no answer within 0.2 s")),
        (functions.own_timeout, (None, FAILED, "TimeoutError")),
    ],
)
def test_a_timeout_is_the_runners_or_the_functions(function: Callable[..., Any], outcome: Any) -> None:
    assert outcomes(Inline(function, timeout=0.2 if function is functions.stubborn else 60).run(calls({}))) == [outcome]


def test_what_a_batch_has_not_finished_in_time_is_timed_out() -> None:
    done, *rest = Inline(functions.act_async, batch_timeout=0.5, concurrency=2).run(acts("answer", "wait", "wait"))
    assert done.value == 0
    assert outcomes(rest) == [(None, TIMED_OUT, "not finished when the batch's 0.5 s were over")] * 2


def test_a_task_that_leaves_fails_the_calls_that_are_under_way() -> None:
    assert outcomes(Inline(functions.leave_in_a_task).run(calls({}))) == [(None, FAILED, "SystemExit: leaving")]


async def cancelled() -> None:
    raise asyncio.CancelledError


def test_a_call_that_cancels_itself_has_failed() -> None:
    assert outcomes(Inline(cancelled).run(calls({}, {}))) == [(None, FAILED, "CancelledError")] * 2


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError


def test_an_exception_that_cannot_be_printed_is_a_failure_all_the_same() -> None:
    def fail() -> None:
        raise Unspeakable

    assert outcomes(Inline(fail).run(calls({}))) == [(None, FAILED, "Unspeakable")]


def test_a_caller_within_an_event_loop_is_served() -> None:
    async def caller() -> list[Reply]:
        return Inline(functions.act_async).run(acts("answer"))

    assert [reply.value for reply in asyncio.run(caller())] == [0]


def test_an_interrupted_caller_waits_for_the_cancelled_coroutine(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, ended = threading.Event(), threading.Event()

    async def work() -> None:
        begun.set()
        try:
            await asyncio.sleep(functions.AGES)
        finally:
            ended.set()

    def interrupt(*_: Any) -> None:
        begun.wait()
        monkeypatch.undo()
        raise KeyboardInterrupt

    monkeypatch.setattr("concord.rewards.runners.event_loop.Future.result", interrupt)
    with pytest.raises(KeyboardInterrupt):
        EventLoop().complete(work())
    assert ended.is_set()


def test_no_calls_give_no_replies() -> None:
    assert Inline(functions.act_async).run([]) == Inline(functions.act).run([]) == []


def test_what_lives_longer_than_a_batch_lives_on() -> None:
    """A semaphore and a task of a first batch serve the next ones, and end with the runner."""
    gate = asyncio.Semaphore(1)
    background: list[asyncio.Task[None]] = []
    ended = threading.Event()

    async def heart() -> None:
        try:
            await asyncio.sleep(functions.AGES)
        finally:
            ended.set()

    async def judge() -> int:
        async with gate:  # bound to the loop in which somebody first waits
            await asyncio.sleep(0.001)
            if not background:
                background.append(asyncio.create_task(heart()))
            assert not background[0].done()
            return id(asyncio.get_running_loop())

    runner = Inline(judge)
    batches = [runner.run(calls({}, {}, {})) for _ in range(3)]
    assert [reply.error for batch in batches for reply in batch] == [None] * 9
    assert len({reply.value for batch in batches for reply in batch}) == 1
    assert not ended.is_set()
    runner.close()
    assert ended.is_set()


def test_a_task_that_leaves_does_not_end_the_loop() -> None:
    runner = Inline(functions.act_async)
    loop = EventLoop()
    leaving = Inline(functions.leave_in_a_task, loop=loop)
    asking = Inline(functions.act_async, loop=loop)
    assert outcomes(leaving.run(calls({}))) == [(None, FAILED, "SystemExit: leaving")]
    assert outcomes(asking.run(acts("answer"))) == outcomes(runner.run(acts("answer"))) == [(0, None, None)]
    loop.close()
    runner.close()


def test_a_loop_that_nobody_holds_any_more_ends() -> None:
    runner = Inline(functions.act_async)
    runner.run(acts("answer"))
    named = [thread for thread in threading.enumerate() if thread.name == "concord-calls"]
    del runner
    gc.collect()
    assert any(not thread.is_alive() for thread in named)


@dataclass
class Picture:
    """Data of a class of somebody's."""

    pixels: list[int]


def edits(
    completions: Any, columns: Any, picture: Any, completion_ids: Any, log_extra: Any, trainer_state: Any
) -> None:
    completions[0][0]["content"] = "edited"
    completions[0][0]["tool_calls"][0]["arguments"]["x"] = 2
    columns["meta"][1][0]["deep"].append(1)
    picture.pixels.append(2)
    completion_ids[0].append(7)
    trainer_state.global_step = 9
    log_extra("seen", [1])


async def edits_later(**arguments: Any) -> None:
    edits(**arguments)


@pytest.mark.parametrize("function", [edits, edits_later])
def test_what_a_function_edits_is_its_own(function: Any) -> None:
    logged: list[Any] = []

    def arguments() -> dict[str, Any]:
        return {
            "completions": [[{"role": "assistant", "content": "said", "tool_calls": [{"arguments": {"x": 1}}]}]],
            "columns": {"meta": ({}, [{"deep": []}])},
            "picture": Picture([1]),
            "completion_ids": [[1, 2]],
            "trainer_state": SimpleNamespace(global_step=0),
        }

    given = arguments()
    (reply,) = Inline(function).run(calls({**given, "log_extra": lambda *a: logged.append(a)}))
    assert reply.error is None
    assert given == arguments()
    assert logged == [("seen", [1])]


def test_no_two_places_share_a_copy() -> None:
    """Equal prompts of a group are one object before."""

    def append(prompts: list[list[str]]) -> list[list[str]]:
        for prompt in prompts:
            prompt.append("x")
        return prompts

    prompt = ["p"]
    (reply,) = Inline(append).run(calls({"prompts": [prompt, prompt]}))
    assert reply.value == [["p", "x"], ["p", "x"]]
    assert portable({"prompts": [prompt, prompt]})["prompts"][0] is not prompt


def test_what_cannot_be_copied_is_handed_on_and_what_has_no_end_fails() -> None:
    lock = threading.Lock()
    (reply,) = Inline(lambda lock: lock.locked()).run(calls({"lock": lock}))
    assert reply.value is False
    endless: list[Any] = []
    endless.append(endless)
    (reply,) = Inline(lambda endless: 1.0).run(calls({"endless": endless}))
    assert reply.status == FAILED
    assert str(reply.error).startswith("RecursionError")


def test_texts_are_not_copied() -> None:
    text = "long " * 1000
    assert own({"completions": [text]})["completions"][0] is text
