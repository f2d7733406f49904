"""The contract of a reward function: what keeps it, and what breaks each part of it."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Callable
from pathlib import Path
from statistics import mean
from typing import Any

import pytest

from concord.core.errors import ConfigError, MissingColumn
from concord.rewards import NamedReward, Source, load
from concord.rewards.check import FAULT, OK, WARNING, Finding, Report, check, make_batch, measure, own_rows
from concord.rewards.check.sameness import sameness
from concord.rewards.check.timing import percentile, timing
from concord.rewards.scores import Score

FUNCTIONS = Path(__file__).with_name("functions.py")
CHECKS = ["calls", "shape", "values", "range", "signal", "repeat", "order", "batch", "time", "empty", "long", "hostile"]


def judged(function: Any, size: int = 8, chat: bool = False, **settings: Any) -> dict[str, Finding]:
    """The findings about one function, by check; a closure is called in this process."""
    stated = settings.pop("stated", None)
    batch, _ = make_batch(own_rows(), size, chat=chat)
    [report] = check([NamedReward("f", function, **settings)], batch, stated=stated)
    return {finding.check: finding for finding in report.findings}


def apart(name: str, timeout: float = 5.0, size: int = 4, **settings: Any) -> dict[str, Finding]:
    """The findings about a function of ``functions.py``, which runs in a worker process."""
    batch, _ = make_batch(own_rows(), size)
    [report] = check([load("f", f"{FUNCTIONS}:{name}", **settings)], batch, timeout=timeout)
    return {finding.check: finding for finding in report.findings}


def faults(findings: dict[str, Finding]) -> set[str]:
    return {name for name, finding in findings.items() if finding.verdict == FAULT}


def scoring(score: Callable[[str], Any]) -> Callable[..., Any]:
    def reward(completions: list[str], **_: Any) -> list[Any]:
        return [score(text) for text in completions]

    return reward


def test_a_clean_function_has_no_faults() -> None:
    found = apart("clean")
    assert list(found) == CHECKS
    assert faults(found) == set()
    assert found["calls"].seen == "4 scored"
    assert found["calls"].numbers == {"scored": 4, "abstained": 0, "failed": 0, "timed_out": 0, "invalid": 0}


@pytest.mark.parametrize(("name", "form"), [("waits", None), ("compute_score", "verl")])
def test_other_forms_are_as_clean(name: str, form: str | None) -> None:
    assert faults(apart(name, form=form)) == set()


def spread_over_the_batch(completions: list[str], **_: Any) -> list[float]:
    lengths = [len(text) for text in completions]
    return [length - mean(lengths) for length in lengths]


def by_place(completions: list[str], **_: Any) -> list[float]:
    return [float(place) for place in range(len(completions))]


def counted() -> Callable[..., list[float]]:
    seen = 0

    def reward(completions: list[str], **_: Any) -> list[float]:
        nonlocal seen
        seen += 1
        return [float(seen)] * len(completions)

    return reward


def one_too_few(completions: list[str], **_: Any) -> list[float]:
    return [0.5] * (len(completions) - 1)


def undefined_alone(completions: list[str], **_: Any) -> list[float]:
    return [math.nan if len(completions) == 1 else float(len(text)) for text in completions]


def inside(function: Callable[..., Any]) -> Callable[..., Any]:
    """As a closure, so that it is called in this process."""

    def reward(completions: list[str], **columns: Any) -> Any:
        return function(completions, **columns)

    return reward


VIOLATIONS: dict[str, tuple[Callable[..., Any], set[str], str, str]] = {
    "scores by place": (inside(by_place), {"order"}, "order", "in another order"),
    "remembers": (counted(), {"repeat"}, "repeat", "asked twice, 8 scores differ; completion 0: "),
    "returns one too few": (
        inside(one_too_few), {"shape", "empty", "long", "hostile"}, "shape", "returned 7 scores for 8 completions",
    ),
    "returns text": (
        scoring(str), {"values", "empty", "long", "hostile"}, "values",
        "8 of 8 invalid; the first: returned '42' (str)",
    ),
    "returns NaN": (
        scoring(lambda text: math.nan if "Lima" in text else 1.0), {"values"}, "values",
        "1 of 8 invalid; the first: returned nan",
    ),
    "is undefined alone": (
        inside(undefined_alone), {"values", "batch", "empty", "long", "hostile"}, "batch", "2 and then returned nan",
    ),
    "raises on nothing": (
        scoring(lambda text: len(text.split()) / len(text.strip())), {"empty"}, "empty",
        "no text: ZeroDivisionError: division by zero; white space: ZeroDivisionError",
    ),
    "raises on some": (
        scoring(lambda text: text.count("a") / (text != "42")), {"calls"}, "calls",
        "8 failed; the first: ZeroDivisionError: division by zero; asked about one by one, 1 of 8 are lost",
    ),
    "trusts numbers": (
        scoring(lambda text: float(text) if text in ("42", "nan") else 0.0), {"hostile"}, "hostile",
        "not a number: returned nan",
    ),
    "trusts JSON": (
        scoring(lambda text: float(text[:1] in "[{" and bool(text) and _parses(text))), {"hostile"}, "hostile",
        "10,000 open brackets: RecursionError",
    ),
}  # fmt: skip


def _parses(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:  # but deep nesting raises RecursionError
        return False
    return True


@pytest.mark.parametrize("what", VIOLATIONS)
def test_each_violation_is_found_and_no_other(what: str) -> None:
    function, expected, check, seen = VIOLATIONS[what]
    found = judged(function)
    assert faults(found) == expected
    assert seen in found[check].seen
    assert found[check].advice


def test_while_equal_calls_differ_order_and_batch_cannot_be_told() -> None:
    found = judged(counted())
    assert {found[name].verdict for name in ("order", "batch")} == {WARNING}
    assert found["order"].seen == "cannot be told while equal calls differ"


def test_rounding_is_no_difference() -> None:
    calls = 0

    def reward(completions: list[str], **_: Any) -> list[float]:
        nonlocal calls
        calls += 1
        return [len(text) + 1e-6 * calls for text in completions]

    found = judged(reward)
    assert faults(found) == set()
    assert "up to rounding" in found["repeat"].seen


@pytest.mark.parametrize(
    ("value", "said"), [(0.25, "all 8 scores are 0.25: the reward says nothing here"), (None, "not one score")]
)
def test_a_reward_that_says_nothing_is_a_warning(value: float | None, said: str) -> None:
    found = judged(scoring(lambda _: value))
    assert faults(found) == set()
    assert found["signal"].verdict == WARNING
    assert said in found["signal"].seen
    assert ("range" in found) == (value is not None)


def test_range_is_told_and_held_against_the_stated_one() -> None:
    def half(text: str) -> float:
        return round(min(len(text), 100) / 50 - 0.5, 2)

    told = judged(scoring(half))["range"]
    assert told.verdict == OK
    assert (told.numbers["min"], told.numbers["max"]) == (-0.46, 0.82)
    assert told.numbers["share_at_min"] == told.numbers["share_at_max"] == 1 / 8
    assert faults(judged(scoring(half), stated=(-0.5, 1.5))) == set()
    held = judged(scoring(half), stated=(-0.5, 0.8))
    assert faults(held) == {"range", "long", "hostile"}
    assert "1 of 8 outside the stated -0.5 to 0.8" in held["range"].seen
    assert "100,000 characters: 1.5 is outside" in held["long"].seen


def test_scores_are_judged_as_they_count() -> None:
    found = judged(scoring(lambda text: float(len(text))), scale=0.01, clamp=(0.0, 1.0), stated=(0.0, 1.0))
    assert faults(found) == set()


def test_what_faults_count_for_does_not_hide_them() -> None:
    assert "values" in faults(judged(scoring(lambda _: math.nan), on_error="zero"))


def test_half_a_surrogate_pair_is_only_a_warning() -> None:
    found = judged(scoring(lambda text: float(len(text.encode()))))
    assert faults(found) == set()
    assert found["hostile"].verdict == WARNING
    assert "half a surrogate pair: UnicodeEncodeError" in found["hostile"].seen


def test_a_reward_that_compares_a_batch_is_told_to_say_so() -> None:
    found = judged(inside(spread_over_the_batch))
    assert faults(found) == set()
    assert found["batch"].verdict == WARNING
    assert "8 scores differ; completion 0:" in found["batch"].seen
    assert "--group-relative" in found["batch"].advice


def test_a_reward_that_says_that_it_compares_its_batch_does_so() -> None:
    batch, _ = make_batch(own_rows(), 16)
    source = Source(inside(spread_over_the_batch), group_relative=True)
    [report] = check([NamedReward("f", source)], batch)
    found = {finding.check: finding for finding in report.findings}
    assert faults(found) == set()
    assert found["batch"].verdict == OK
    assert "as it says: " in found["batch"].seen
    # That alone it fails is no excuse: the last batch of a data set may be small.
    [report] = check(
        [NamedReward("f", Source(inside(undefined_alone), group_relative=True))], make_batch(own_rows(), 4)[0]
    )
    assert {finding.check for finding in report.findings if finding.verdict == FAULT} >= {"values", "batch"}


@pytest.mark.parametrize("used", [None, "column", "completions"])
def test_a_message_without_text_is_a_fault_where_tools_are_used(used: str | None) -> None:
    def careless(completions: list[Any], **_: Any) -> list[float]:
        return [float(len(messages[-1]["content"])) for messages in completions]

    rows = [{**row, **({"tools": [{"name": "find"}]} if used == "column" else {})} for row in own_rows()]
    if used == "completions":
        call = {"type": "function", "function": {"name": "find", "arguments": {}}}
        for row in rows:
            row["completion"] = [{"role": "assistant", "content": "I look.", "tool_calls": [call]}]
    [report] = check([NamedReward("f", careless)], make_batch(rows, 4, chat=True)[0])
    found = {finding.check: finding for finding in report.findings}
    assert faults(found) == ({"empty"} if used else set())
    assert found["empty"].verdict == (FAULT if used else WARNING)
    assert "a tool call without text: TypeError" in found["empty"].seen


def test_a_function_of_chats_is_told_of_the_option() -> None:
    def careless(completions: list[Any], **_: Any) -> list[float]:
        return [float(len(messages[-1]["content"])) for messages in completions]

    assert "say --chat" in judged(careless)["calls"].advice


def test_a_key_that_some_completions_lack_is_no_difference() -> None:
    def compute_score(solution_str: str, ground_truth: str) -> dict[str, float]:
        return {"score": 1.0, **({"fmt": float(len(solution_str))} if "answer" in solution_str else {})}

    found = judged(compute_score, key="fmt")
    assert faults(found) == set()
    assert found["calls"].numbers["abstained"] > 0


def test_a_function_is_asked_about_several_batches() -> None:
    """What works once and not again, as a client of an event loop that has been closed, is found."""
    batches = 0

    def reward(completions: list[str], **_: Any) -> list[float]:
        nonlocal batches
        batches += len(completions) == 8
        if batches > 2:
            raise RuntimeError("the session is closed")
        return [float(len(text)) for text in completions]

    assert "order" in faults(judged(reward))
    assert batches >= 3


def test_a_function_that_never_answers_is_not_asked_on() -> None:
    def reward(completions: list[str], **_: Any) -> list[float]:
        raise LookupError("no such file")

    found = judged(reward)
    assert list(found) == ["calls"]
    assert found["calls"].seen == "8 failed; the first: LookupError: no such file; nothing more was asked"


def test_a_function_that_needs_several_is_asked_on() -> None:
    def reward(completions: list[str], **_: Any) -> list[float]:
        return [len(text) / (len(completions) - 1) for text in completions]

    found = judged(reward)
    assert {"batch", "empty"} <= faults(found)
    assert "completion 0: 0.2857 and then ZeroDivisionError" in found["batch"].seen


def test_a_function_for_groups_may_compare_within_a_prompt() -> None:
    async def custom_rm(args: Any, samples: list[Any]) -> list[float]:
        await asyncio.sleep(0)
        longest = max(len(sample.response) for sample in samples)
        return [len(sample.response) / max(1, longest) for sample in samples]

    assert faults(judged(custom_rm, size=16)) == set()


def test_several_scores_of_one_function_are_asked_for_once() -> None:
    calls = 0

    def compute_score(solution_str: str, ground_truth: str) -> dict[str, float]:
        nonlocal calls
        calls += 1
        return {"score": float(len(solution_str)), "right": float(ground_truth in solution_str)}

    batch, _ = make_batch(own_rows(), 4)
    check([NamedReward("one", compute_score)], batch)
    alone, calls = calls, 0
    rewards = [
        NamedReward("length", compute_score),
        NamedReward("right", compute_score, key="right"),
        NamedReward("wrong", compute_score, key="rigth"),
    ]
    reports = check(rewards, batch)
    assert calls == alone
    assert [report.reward for report in reports] == ["length", "right", "wrong"]
    assert [report.faults > 0 for report in reports] == [False, False, True]
    [values] = [finding for finding in reports[2].findings if finding.check == "values"]
    assert "returned no 'rigth', only 'score', 'right'" in values.seen


def test_gates_are_told() -> None:
    batch, _ = make_batch(own_rows(), 8)
    rewards = [
        NamedReward("long", scoring(lambda text: float(len(text) > 20))),
        NamedReward("sometimes", scoring(len), when="long >= 1"),
        NamedReward("never", scoring(len), when="long > 1"),
    ]
    gates = [[finding for finding in report.findings if finding.check == "gate"] for report in check(rewards, batch)]
    assert gates[0] == []
    [sometimes], [never] = gates[1:]
    count = sum(len(text) > 20 for text in batch.completions)
    assert (sometimes.verdict, sometimes.seen) == (OK, f"long >= 1: open for {count} of 8")
    assert (never.verdict, never.seen) == (WARNING, "long > 1: open for 0 of 8")


def test_a_function_that_hangs_is_given_up() -> None:
    found = apart("hangs", timeout=0.5)
    assert list(found) == ["calls"]
    assert found["calls"].verdict == FAULT
    assert (
        "timed out; the first: no answer within 0.5 s; not asked about the other 3 of 4; nothing more was asked"
        in found["calls"].seen
    )


def test_patience_is_for_calls_without_an_answer_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "PATIENCE", 0)
    assert faults(apart("undefined")) == {"values", "empty", "long", "hostile"}
    assert list(apart("dies")) == ["calls"]


def test_a_function_that_always_dies_is_reported() -> None:
    assert "the worker died: exit status 3" in apart("dies", timeout=0.5)["calls"].seen


@pytest.mark.parametrize(
    ("name", "timeout", "said"),
    [("hangs_on_long", 1.0, "no answer within 1 s"), ("dies_on_long", 5.0, "the worker died: exit status 3")],
)
def test_what_long_text_does_is_found_and_the_rest_is_checked(name: str, timeout: float, said: str) -> None:
    found = apart(name, timeout=timeout)
    assert faults(found) == {"long"}
    assert found["long"].seen == f"100,000 characters: {said}; 1,000,000 characters: {said}"


def test_slowness_is_a_warning() -> None:
    found = apart("slow", size=2)
    assert faults(found) == set()
    assert found["time"].verdict == WARNING
    assert found["time"].numbers["completion_p50"] >= 0.15
    assert "512 completions take " in found["time"].advice


def test_random_numbers_are_found_in_a_worker_too() -> None:
    assert faults(apart("draws")) == {"repeat"}


def test_text_that_is_run_as_code_is_found() -> None:
    found = apart("runs_the_text")
    assert "hostile" in faults(found)
    assert "a program that ends: SystemExit: 3" in found["hostile"].seen


def test_a_reward_keeps_its_own_limit_and_its_options() -> None:
    found = apart("compute_score", options={"bonus": 2.0})
    assert found["range"].numbers["max"] == 3.0
    assert apart("compute_score", key="tenth")["range"].numbers["max"] == 0.1


def test_a_column_that_lacks_is_no_finding_but_an_error() -> None:
    def reward(completions: list[str], gold: list[str], **_: Any) -> list[float]:
        return []

    with pytest.raises(MissingColumn, match="reads 'gold'"):
        judged(reward)


def test_an_unknown_form_is_an_error() -> None:
    with pytest.raises(ConfigError, match="state it with form:"):
        judged(lambda x: x)


@pytest.mark.parametrize("size", [1, 2, 5])
def test_progress_reaches_its_total(size: int) -> None:
    told: list[tuple[int, int]] = []
    batch, _ = make_batch(own_rows(), size)
    check([NamedReward("f", scoring(len))], batch, progress=lambda done, total: told.append((done, total)))
    total = told[0][1]
    assert told == [(done, total) for done in range(1, total + 1)]


def test_reports_count() -> None:
    report = Report("f", "trl", (Finding("a", OK, ""), Finding("b", FAULT, ""), Finding("c", WARNING, "")))
    assert (report.faults, report.warnings) == (1, 1)


@pytest.mark.parametrize(("each", "verdict"), [(0.1, OK), (math.nextafter(0.1, 1), WARNING)])
def test_a_tenth_of_a_second_for_a_completion_is_not_slow_yet(each: float, verdict: str) -> None:
    """The batch of 4 was asked about four times, once in two halves; the middle of these counts."""
    alone, batch = measure.Round({}, seconds=[0.2, 0.4]), measure.Round({}, seconds=[4 * each])
    halves = measure.Round({}, seconds=[1.0, 1.0])
    found = timing(4, measure.Rounds(batch, batch, batch, alone, halves))
    assert found.verdict == verdict
    assert found.numbers == {"call_p50": 0.2, "call_p99": 0.4, "completion_p50": each, "completion_p99": 0.5}
    assert ("512 completions take 51.2 s" in found.advice) == (verdict == WARNING)


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        (0.0, 0.99e-4, True),
        (0.0, 1.01e-4, False),
        (1000.0, 1000.099, True),  # relative, beyond the absolute
        (1000.0, 1000.101, False),
        (-1000.0, -1000.101, False),
        (0.5, 0.5 - 0.99e-4, True),
        (0.5, 0.5 - 1.01e-4, False),
    ],
)
def test_a_ten_thousandth_is_a_models_rounding(first: float, second: float, same: bool) -> None:
    whole = measure.Round({"f": {0: Score(first, "scored")}})
    again = measure.Round({"f": {0: Score(second, "scored")}})
    rounds = measure.Rounds(whole, again, whole, whole, whole)
    measured = measure.Measured("trl", False, 1, False, whole, rounds, {})
    repeat = sameness("f", measured, rounds)[0]
    assert (repeat.verdict == OK) is same
    assert repeat.numbers["largest"] == pytest.approx(abs(first - second))


def test_scores_at_the_ends_of_the_stated_range_are_within_it() -> None:
    def two(text: str) -> float:
        return float(len(text) > 20)

    assert faults(judged(scoring(two), stated=(0.0, 1.0))) == set()
    below, above = (judged(scoring(two), stated=ends)["range"] for ends in ((1e-9, 1.0), (0.0, 1 - 1e-9)))
    assert (below.verdict, above.verdict) == (FAULT, FAULT)
    assert below.numbers["mean"] == above.numbers["mean"] == below.numbers["share_at_max"]
    assert f"{round(8 * (1 - below.numbers['mean']))} of 8 outside" in below.seen
    assert f"{round(8 * above.numbers['mean'])} of 8 outside" in above.seen


def test_percentiles_are_of_the_values() -> None:
    values = [float(value) for value in range(100, 0, -1)]
    assert [percentile(values, percent) for percent in (1, 50, 99, 100)] == [1.0, 50.0, 99.0, 100.0]
    assert percentile([7.0], 99) == 7.0
