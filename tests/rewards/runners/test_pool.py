"""Calls in worker processes: each call costs itself and nothing else."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from concord.core.errors import ConfigError, RewardError
from concord.core.status import FAILED, TIMED_OUT
from concord.rewards.call import Call, Reply
from concord.rewards.runners import Pool, RemoteError, Target, process
from tests.rewards.runners.functions import AGES, Broken, Named, Unreadable
from tests.rewards.runners.processes import gone, wait_for

Make = Callable[..., Pool]


@pytest.fixture
def pool() -> Iterator[Make]:
    """Pools of functions by name, closed at the end."""
    made: list[Pool] = []

    def make(target: Any, **limits: Any) -> Pool:
        made.append(Pool(Named(target) if isinstance(target, str) else target, **limits))
        return made[-1]

    yield make
    for each in made:
        each.close()


def calls(*arguments: dict[str, Any]) -> list[Call]:
    return [Call(each, 1) for each in arguments]


def acts(*names: str) -> list[Call]:
    return calls(*({"do": name, "value": index} for index, name in enumerate(names)))


def outcome(reply: Reply) -> tuple[Any, str | None, str | None]:
    return reply.value, reply.status, reply.error


DIED = "the worker died: "
UNSENDABLE = "cannot be sent from the worker: result['rewards'][1] is of type object"
# What comes of a call, by what it does; the number is its place.
EXPECTED: dict[str, Callable[[int], tuple[Any, str | None, str | None]]] = {
    "answer": lambda index: (index, None, None),
    "hang": lambda index: (None, TIMED_OUT, "no answer within 1 s"),
    "wait": lambda index: (None, TIMED_OUT, "no answer within 1 s"),
    "exit": lambda index: (None, FAILED, f"{DIED}exit status 3"),
    "crash": lambda index: (None, FAILED, f"{DIED}signal SIGSEGV"),
    "leave": lambda index: (None, FAILED, "SystemExit: leaving"),
    "raise": lambda index: (None, FAILED, f"ValueError: no such answer {index}"),
    "return an object": lambda index: (None, FAILED, f"{UNSENDABLE}; return numbers, text, lists and dicts"),
}
MIXED = (
    "answer",
    "crash",
    "answer",
    "raise",
    "hang",
    "answer",
    "return an object",
    "exit",
    "answer",
    "leave",
    "answer",
)


@pytest.mark.parametrize("workers", [1, 2, 4])
@pytest.mark.parametrize(("function", "todo"), [("act", MIXED), ("act_async", (*MIXED, "wait", "answer"))])
def test_replies_are_in_order_and_the_same_for_any_number_of_workers(
    pool: Make, function: str, todo: tuple[str, ...], workers: int
) -> None:
    replies = pool(function, workers=workers, timeout=1).run(acts(*todo))
    assert [outcome(reply) for reply in replies] == [EXPECTED[do](index) for index, do in enumerate(todo)]


def test_an_exception_keeps_the_traceback_of_the_worker(pool: Make) -> None:
    (reply,) = pool("act").run(acts("raise"))
    assert isinstance(reply.exception, RemoteError)
    assert 'raise ValueError(f"no such\\nanswer {value}")' in str(reply.exception)


def test_workers_live_from_run_to_run_until_the_pool_is_closed(pool: Make) -> None:
    one = pool("process_id")
    first, second = (one.run(calls({}))[0].value for _ in range(2))
    assert first == second != os.getpid()
    one.close()
    assert gone(first)
    with pytest.raises(RewardError, match="closed"):
        one.run(calls({}))


def test_workers_end_when_the_pool_is_forgotten() -> None:
    forgotten = Pool(Named("process_id"))
    pid = forgotten.run(calls({}))[0].value
    del forgotten
    assert gone(pid)


def test_a_worker_that_died_between_two_runs_is_replaced(pool: Make) -> None:
    one = pool("process_id")
    first = one.run(calls({}))[0].value
    os.kill(first, signal.SIGKILL)
    assert gone(first)
    (reply,) = one.run(calls({}))
    assert reply.status is None
    assert reply.value != first


def test_what_a_hanging_call_started_is_killed_with_it(pool: Make, tmp_path: Path) -> None:
    file = tmp_path / "pids"
    (reply,) = pool("hang_with_a_child", timeout=1).run(calls({"file": str(file)}))
    assert reply.status == TIMED_OUT
    assert gone(*map(int, file.read_text().split()))


def test_a_fork_that_outlives_its_worker_does_not_hide_its_death(pool: Make) -> None:
    (reply,) = pool("die_and_leave_a_fork").run(calls({}))
    assert outcome(reply) == (None, FAILED, f"{DIED}exit status 3")


def test_a_call_that_kills_its_worker_is_not_made_again(pool: Make, tmp_path: Path) -> None:
    file = tmp_path / "count"
    replies = pool("count_and_die", workers=2).run(calls({"file": str(file)}, {"file": str(file)}))
    assert [reply.status for reply in replies] == [FAILED] * 2
    assert file.read_text() == "xx"


def test_a_worker_that_does_not_take_a_call_is_given_up(pool: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    one = pool("process_id", timeout=0.2)
    pid = one.run(calls({}))[0].value
    monkeypatch.setattr(process, "START_LIMIT", 0.3)
    os.kill(pid, signal.SIGSTOP)
    assert outcome(one.run(calls({}))[0]) == (None, TIMED_OUT, "no worker had taken the call after 0.5 s")
    assert gone(pid)


@pytest.mark.parametrize("function", ["act", "act_async"])
def test_what_a_batch_has_not_finished_in_time_is_timed_out(pool: Make, function: str) -> None:
    one = pool(function, batch_timeout=1.5)
    done, *rest = one.run(acts("answer", "hang", "hang"))
    assert outcome(done) == (0, None, None)
    assert {outcome(reply) for reply in rest} == {(None, TIMED_OUT, "not finished when the batch's 1.5 s were over")}
    assert [reply.value for reply in one.run(acts("answer", "answer"))] == [0, 1]


@pytest.mark.parametrize(
    ("how", "error"),
    [
        ("raises", "a worker could not load the function: ModuleNotFoundError: No module named 'judge'"),
        ("exits", "a worker could not load the function: SystemExit: no licence"),
        ("dies", "a worker died while it loaded the function: exit status 7"),
        ("hangs", "a worker had not loaded the function after 1 s"),
    ],
)
def test_a_function_that_cannot_be_loaded_fails_every_call(
    pool: Make, monkeypatch: pytest.MonkeyPatch, how: str, error: str
) -> None:
    monkeypatch.setattr(process, "START_LIMIT", 1.0 if how == "hangs" else 60.0)
    replies = pool(Broken(how), workers=2).run(calls({}, {}, {}))
    assert [outcome(reply) for reply in replies] == [(None, FAILED, error)] * 3


def test_a_system_that_starts_no_more_processes_fails_every_call(pool: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(process, "_start", refuse)
    (reply,) = pool("act").run(acts("answer"))
    assert outcome(reply)[1:] == (FAILED, "no worker could be started: [Errno 11] Resource temporarily unavailable")


@pytest.mark.parametrize(("function", "count"), [("repeat", 1), ("repeat_async", 2)])
def test_large_texts_pass_both_ways(pool: Make, function: str, count: int) -> None:
    text = "long" * 12_500_000
    replies = pool(function, timeout=60).run(calls(*[{"text": text}] * count))
    assert [reply.value == text for reply in replies] == [True] * count


def test_an_argument_that_cannot_be_sent_or_read_is_named(pool: Make) -> None:
    values = [1, lambda: 2, Unreadable(), 4]
    ok, unsendable, unreadable, last = pool("act").run(calls(*({"do": "answer", "value": v} for v in values)))
    assert (ok.value, last.value) == (1, 4)
    assert unsendable.status == unreadable.status == FAILED
    assert str(unsendable.error).startswith("argument 'value' (function) cannot be sent to a worker: ")
    assert str(unreadable.error).startswith("argument 'value' cannot be read in a worker: ValueError: invalid literal")


def test_what_calls_log_reaches_the_hooks_in_the_order_of_the_calls(pool: Make) -> None:
    heard: list[Any] = []
    hooks = {
        "log_extra": lambda *args, **kwargs: heard.append((args, kwargs)),
        "log_metric": lambda *args, **kwargs: heard.append((args, kwargs)),
    }
    named = [["a", "bc"], ["def"], ["g"]]
    replies = pool("log", workers=2).run(calls(*({"names": n, "fail": n == ["def"], **hooks} for n in named)))
    assert [reply.value for reply in replies] == [2, None, 1]
    extra = [((("name", names)), {}) for names in named]
    metric = [[((name,), {"value": float(len(name))}) for name in names] for names in named]
    assert heard == [extra[0], *metric[0], extra[1], *metric[1], extra[2], *metric[2]]


def test_a_trainers_state_arrives_as_its_attributes(pool: Make) -> None:
    class State:  # which no worker could import
        def __init__(self) -> None:
            self.global_step = 7

    (reply,) = pool("step").run(calls({"trainer_state": State()}))
    assert outcome(reply) == (7, None, None)


def test_a_hook_that_raises_fails_its_call(pool: Make) -> None:
    def refuse(*_: Any) -> None:
        raise KeyError("taken")

    (reply,) = pool("log").run(calls({"names": [], "log_extra": refuse, "log_metric": refuse}))
    assert outcome(reply) == (None, FAILED, "KeyError: 'taken'")


def test_coroutines_are_under_way_together_up_to_the_concurrency(pool: Make) -> None:
    replies = pool("crowd", concurrency=3).run(calls(*[{}] * 9))
    assert max(reply.value for reply in replies) == 3


def test_a_coroutine_that_will_not_be_cancelled_is_late(pool: Make) -> None:
    (reply,) = pool("stubborn", timeout=0.2).run(calls({}))
    assert outcome(reply) == (None, TIMED_OUT, "no answer within 0.2 s")


def test_a_caller_within_an_event_loop_is_served(pool: Make) -> None:
    async def caller() -> list[Reply]:
        return pool("own_event_loop").run(calls({}))

    assert [reply.value for reply in asyncio.run(caller())] == ["done"]


def test_a_worker_imports_nothing_heavy_of_its_own(pool: Make) -> None:
    (reply,) = pool("imported").run(calls({"names": ["torch", "numpy", "pydantic", "httpx2"]}))
    assert reply.value == []


def test_what_a_worker_prints_goes_to_standard_error(pool: Make, capfd: pytest.CaptureFixture[str]) -> None:
    one = pool("talk")
    one.run(calls({}))
    assert capfd.readouterr() == ("", "hello from a worker\n")


def test_an_interrupt_ends_the_calls_and_their_workers(pool: Make, tmp_path: Path) -> None:
    file = tmp_path / "pids"

    def interrupt() -> None:
        wait_for(file)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        pool("hang_with_a_child").run(calls({"file": str(file)}))
    assert gone(*map(int, file.read_text().split()))


def test_workers_end_with_a_parent_that_is_killed(pool: Make, tmp_path: Path) -> None:
    file = tmp_path / "pids"
    (reply,) = pool("have_a_worker_and_be_killed").run(calls({"file": str(file)}))
    assert outcome(reply) == (None, FAILED, f"{DIED}signal SIGKILL, as a system short of memory sends")
    assert gone(*map(int, file.read_text().split()))


def test_a_target_is_a_path_a_form_and_options(pool: Make) -> None:
    one = pool(Target("concord.rewards.toolrl:length", "trl"))
    arguments = {"prompts": ["?"], "completions": ["<think>hm hm</think>"], "answer": [""]}
    assert one.run(calls(arguments))[0].value == [0.0]


@pytest.mark.parametrize("limits", [{"workers": 0}, {"timeout": 0.0}, {"batch_timeout": -1.0}, {"concurrency": 0}])
def test_limits_are_positive(limits: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="must be a positive"):
        Pool(Named("act"), **limits)


def test_options_that_cannot_be_sent_are_refused_at_once() -> None:
    with pytest.raises(ConfigError, match="cannot be sent to a worker"):
        Pool(Target("mine.py:f", "trl", {"key": lambda: None}))


def test_a_platform_without_process_groups_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(os, "name", "nt")
        with pytest.raises(ConfigError, match="Linux or macOS"):
            Pool(Named("act"))


def test_no_calls_need_no_worker(pool: Make) -> None:
    assert pool(Broken("dies")).run([]) == []


assert AGES > 600  # longer than any test may take
