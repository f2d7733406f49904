"""Several rewards asked about one batch."""

from __future__ import annotations

import asyncio
import logging
import math
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from concord.core.errors import ConfigError, DuplicateName, RewardError
from concord.rewards import Limits, NamedReward, RewardBatch, RewardSet, Source, Steps, judge

TEXTS = ["one", "two three", "four five six"]
BATCH = RewardBatch(["p"] * 3, TEXTS, columns={"answer": ["a", "b", "c"], "data_source": ["s"] * 3})


def words(completions: list[str], **_: Any) -> list[float]:
    return [float(len(text.split())) for text in completions]


def answering(value: Any) -> Callable[..., Any]:
    def reward(completions: list[str], **_: Any) -> Any:
        return value

    return reward


def scored(*rewards: NamedReward, step: int = 0) -> Any:
    return RewardSet(rewards).score(BATCH, step)


def test_scores_by_name_scaled_and_clamped() -> None:
    found = scored(NamedReward("words", words), NamedReward("short", words, scale=-0.5, shift=1.0, clamp=(-0.25, None)))
    assert found.values == {"words": [1, 2, 3], "short": [0.5, 0, -0.25]}
    assert found.statuses["short"] == ["scored"] * 3
    assert found.errors == {}


@pytest.mark.parametrize(
    ("value", "statuses", "said"),
    [
        ([1.0, None, 2.0], ["scored", "abstained", "scored"], None),
        ([1.0, math.nan, 2.0], ["scored", "invalid", "scored"], "returned nan"),
        ([1.0, "good", 2.0], ["scored", "invalid", "scored"], "returned 'good' (str); a score is a number"),
        ([1.0], ["invalid"] * 3, "returned 1 score for 3 completions"),
        (3.0, ["invalid"] * 3, "returned 3.0 (float); return a list"),
    ],
)
def test_what_a_function_returns_has_a_status(value: Any, statuses: list[str], said: str | None) -> None:
    found = scored(NamedReward("odd", answering(value), on_error="abstain"), NamedReward("words", words))
    assert found.statuses == {"odd": statuses, "words": ["scored"] * 3}
    assert found.values["words"] == [1, 2, 3]
    assert [value is None for value in found.values["odd"]] == [status != "scored" for status in statuses]
    assert (said or "") in found.errors.get("odd", "")
    assert (said is None) == ("odd" not in found.errors)


def test_an_exception_fails_all_that_the_call_is_about() -> None:
    def fails(completions: list[str], **_: Any) -> list[float]:
        raise LookupError("no such answer")

    found = scored(NamedReward("bad", fails, on_error="zero"), NamedReward("words", words))
    assert found.statuses["bad"] == ["failed"] * 3
    assert found.values == {"bad": [0.0] * 3, "words": [1, 2, 3]}
    assert found.errors["bad"] == "LookupError: no such answer"
    assert isinstance(found.causes["bad"], LookupError)


def test_a_call_for_each_completion_fails_alone() -> None:
    def compute_score(data_source: str, solution_str: str, ground_truth: str, extra_info: Any = None) -> float:
        if ground_truth == "b":
            raise ValueError("b is beyond me")
        return float(len(solution_str))

    found = scored(NamedReward("verl", compute_score, on_error="abstain"))
    assert found.statuses["verl"] == ["scored", "failed", "scored"]
    assert found.values["verl"] == [3, None, 13]


def test_worst_is_the_end_that_counts_least_now() -> None:
    reward = NamedReward(
        "w", answering([1.0, math.nan, 2.0]), Steps({0: 1.0, 5: -1.0}), clamp=(-4, 4), on_error="worst"
    )
    assert scored(reward).values["w"] == [1, -4, 2]
    assert scored(reward, step=5).values["w"] == [1, 4, 2]


def test_what_scaling_leaves_of_float32_is_invalid() -> None:
    found = scored(NamedReward("huge", words, scale=2e38, on_error="abstain"))
    assert found.statuses["huge"] == ["scored", "invalid", "invalid"]


def test_one_function_that_gives_several_rewards_is_called_once(caplog: pytest.LogCaptureFixture) -> None:
    calls = Counter[str]()

    def compute_score(data_source: str, solution_str: str, ground_truth: str, extra_info: Any = None) -> dict[str, Any]:
        calls[solution_str] += 1
        return {"score": 1.0, "format": len(solution_str), "right": ground_truth == "b", "unused": 0}

    rewards = [
        NamedReward("total", compute_score),
        *(NamedReward(n, compute_score, key=n) for n in ("format", "right")),
    ]
    with caplog.at_level(logging.WARNING):
        found = scored(*rewards)
    assert found.values == {"total": [1, 1, 1], "format": [3, 9, 13], "right": [0, 1, 0]}
    assert set(calls.values()) == {1}
    assert caplog.text.count("returns 'unused' too, which no reward takes") == 1
    found = scored(NamedReward("acc", compute_score, key="acc", on_error="abstain"))
    assert found.statuses["acc"] == ["invalid"] * 3
    assert found.errors["acc"].startswith("returned no 'acc', only 'score', 'format', 'right', 'unused'; if only some")


def test_calls_about_many_are_as_large_as_asked() -> None:
    sizes: list[int] = []

    def sized(completions: list[str], answer: list[str], **_: Any) -> list[float]:
        assert len(completions) == len(answer)
        sizes.append(len(completions))
        return [float(len(text)) for text in completions]

    found = scored(NamedReward("sized", Source(sized, limits=Limits(batch_size=2))))
    assert sizes == [2, 1]
    assert found.values["sized"] == [3, 9, 13]


def test_coroutine_functions_wait_together() -> None:
    """Each waits until the other has begun, so one after the other would never end."""
    begun = [asyncio.Event, asyncio.Event]
    flags: dict[int, bool] = {}

    def waiting(own: int) -> Callable[..., Any]:
        async def reward(completions: list[str], **_: Any) -> list[float]:
            flags[own] = True
            while len(flags) < len(begun):
                await asyncio.sleep(0.001)
            return [float(own)] * len(completions)

        return reward

    found = scored(NamedReward("a", waiting(0)), NamedReward("b", waiting(1)))
    assert found.values == {"a": [0, 0, 0], "b": [1, 1, 1]}


def test_options_reach_the_function() -> None:
    def longer(completions: list[str], *, than: int, **_: Any) -> list[float]:
        return [float(len(text) > than) for text in completions]

    assert scored(NamedReward("longer", Source(longer, options={"than": 5}))).values["longer"] == [0, 1, 1]


def test_an_empty_batch_is_no_fault() -> None:
    found = RewardSet([NamedReward("words", words)]).score(RewardBatch([], []))
    assert (found.values, found.errors) == ({"words": []}, {})


def test_the_forms_are_said() -> None:
    assert RewardSet([NamedReward("words", words)]).forms["words"].startswith("trl")
    stated = RewardSet([NamedReward("words", Source(words, form="trl"))]).forms["words"]
    assert stated == "trl (as stated)"


def test_what_will_not_do_is_refused_at_once() -> None:
    with pytest.raises(DuplicateName, match="used more than once: 'a'"):
        RewardSet([NamedReward("a", words), NamedReward("a", words)])
    with pytest.raises(ConfigError, match="reward 'n': the form of 3 is none that is known"):
        RewardSet([NamedReward("n", 3)])
    with pytest.raises(ConfigError, match=r"reward 'w': .*'verll'.*did you mean 'verl'"):
        RewardSet([NamedReward("w", Source(words, form="verll"))])
    with pytest.raises(ConfigError, match=r"reward 'late': .*cannot be run in a process of its own"):
        RewardSet([NamedReward("late", Source(lambda completions, **_: [], limits=Limits(timeout=1)))])


# ---- What stops a run ----


def judged(value: Any, **settings: Any) -> None:
    RewardSet([NamedReward("r", answering(value), **settings), NamedReward("words", words)]).counted(BATCH)


def test_the_first_fault_stops_a_run_that_says_nothing() -> None:
    with pytest.raises(RewardError, match=r"reward 'r': 1 of 3 scores invalid; the first: returned nan .*on_error"):
        judged([1.0, math.nan, None])


def test_abstaining_stops_nothing() -> None:
    judged([None, None, None])
    judged([None, None, None], max_failed=0.1)


@pytest.mark.parametrize(("share", "stops"), [(0.3, True), (1 / 3, True), (0.34, False), (1.0, False), (None, False)])
def test_a_share_of_faults_stops_the_run_from_the_one_stated_on(share: float | None, stops: bool) -> None:
    if not stops:
        judged([1.0, math.nan, 2.0], on_error="zero", max_failed=share)
        return
    with pytest.raises(
        RewardError, match=r"1 of 3 scores invalid, which is at least its max_failed of 0.3.*; the first: returned nan"
    ):
        judged([1.0, math.nan, 2.0], on_error="zero", max_failed=share)


@pytest.mark.parametrize(
    ("failed", "total", "share"), [(3, 30, 0.1), (7, 100, 0.07), (29, 100, 0.29), (57, 100, 0.57), (5, 5, 1.0)]
)
def test_exactly_the_share_stops_a_run_and_one_fewer_does_not(failed: int, total: int, share: float) -> None:
    """As a number of rows; the product of share and rows may come out an ulp above it."""
    reward = NamedReward("r", words, on_error="abstain", max_failed=share)
    here = RewardSet([reward]).score(BATCH)
    judge([reward], {"r": {"scored": total - failed + 1, "failed": failed - 1}}, here)
    judge([reward], {"r": {"abstained": total, "failed": 0}}, here)
    for faults in ({"failed": failed}, {"timed out": 1, "invalid": failed - 1}):
        with pytest.raises(RewardError, match="which is at least its max_failed"):
            judge([reward], {"r": {"scored": total - failed, **faults}}, here)


def test_the_cause_is_kept() -> None:
    def fails(completions: list[str], **_: Any) -> list[float]:
        raise LookupError("no such answer")

    with pytest.raises(RewardError, match="3 of 3 scores failed; the first: LookupError: no such answer") as caught:
        RewardSet([NamedReward("r", fails)]).counted(BATCH)
    assert isinstance(caught.value.__cause__, LookupError)


def test_faults_of_another_process_count() -> None:
    reward = NamedReward("r", words, on_error="abstain", max_failed=0.5)
    here = RewardSet([reward]).score(BATCH)
    judge([reward], {"r": {"scored": 4, "failed": 2}}, here)
    with pytest.raises(RewardError, match=r"3 of 6 scores failed.*the first: in another process"):
        judge([reward], {"r": {"scored": 3, "failed": 3}}, here)


def test_what_counts_has_gone_through_its_gate() -> None:
    rewards = RewardSet([NamedReward("short", words, when="long > 1"), NamedReward("long", words)])
    assert rewards.counted(BATCH) == {"short": [0.0, 2.0, 3.0], "long": [1.0, 2.0, 3.0]}


# ---- What holds for all forms ----


def sparse(data_source: str, solution_str: str, ground_truth: str, extra_info: Any = None) -> dict[str, float]:
    return {"score": 1.0, **({"words": float(len(solution_str.split()))} if " " in solution_str else {})}


def sparse_batched(
    data_sources: Any, solution_strs: Any, ground_truths: Any, extra_infos: Any
) -> list[dict[str, float]]:
    return [sparse(*row) for row in zip(data_sources, solution_strs, ground_truths, extra_infos, strict=True)]


def sparse_columns(completions: list[str], **_: Any) -> list[dict[str, float]]:
    return [sparse("", text, "") for text in completions]


@pytest.mark.parametrize("function", [sparse, sparse_batched, sparse_columns])
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0)])
def test_a_key_that_some_lack_is_an_abstention_however_they_are_asked(function: Any, order: tuple[int, ...]) -> None:
    texts = [TEXTS[place] for place in order]
    batch = RewardBatch(["p"] * 3, texts, columns={"answer": ["a"] * 3})
    rewards = RewardSet([NamedReward("words", function, key="words")])
    found = rewards.score(batch)
    assert found.statuses["words"] == ["scored" if " " in text else "abstained" for text in texts]
    # Once it is known, a batch in which nobody has it is one more of abstentions.
    found = rewards.score(RewardBatch(["p"], ["one"], columns={"answer": ["a"]}))
    assert found.statuses["words"] == ["abstained"]


def test_two_coroutine_functions_may_share_what_waits() -> None:
    gate = asyncio.Semaphore(1)

    def judging(value: float) -> Callable[..., Any]:
        async def reward(completions: list[str], **_: Any) -> list[float]:
            async def one() -> float:
                async with gate:
                    await asyncio.sleep(0.001)
                    return value

            return list(await asyncio.gather(*(one() for _ in completions)))

        return reward

    rewards = RewardSet([NamedReward("a", judging(1.0)), NamedReward("b", judging(2.0))])
    for _ in range(3):
        found = rewards.score(BATCH)
        assert found.errors == {}
        assert found.values == {"a": [1.0] * 3, "b": [2.0] * 3}
    rewards.close()


def test_what_one_reward_edits_no_other_sees() -> None:
    def strips(completions: list[Any], answer: list[Any], **_: Any) -> list[float]:
        for place, chat in enumerate(completions):
            chat[0]["content"] = ""
            answer[place].clear()
        completions.clear()
        return [0.0] * 2

    def reads(completions: list[Any], answer: list[Any], **_: Any) -> list[float]:
        return [float(len(chat[0]["content"]) + len(gold)) for chat, gold in zip(completions, answer, strict=True)]

    chats = [[{"role": "assistant", "content": text}] for text in ("ab", "abc")]
    batch = RewardBatch(["p"] * 2, chats, columns={"answer": [["x"], ["x", "y"]]})
    for order in (1, -1):
        pair = [NamedReward("strips", strips), NamedReward("reads", reads)][::order]
        assert RewardSet(pair).score(batch).values["reads"] == [3.0, 5.0]
    assert batch.completions[0][0]["content"] == "ab"


def test_what_no_reward_takes_is_handed_back() -> None:
    def reward_func(queries: list[str], prompts: list[str], labels: list[str]) -> dict[str, Any]:
        lengths = [float(len(query)) for query in queries]
        return {"rewards": lengths, "scores": lengths, "extra_logs": {"tone": ["kind", None, "rude"], "mean": 1.0}}

    found = scored(NamedReward("r", reward_func))
    assert found.extra == {"tone": ["kind", None, "rude"]}


def test_a_group_relative_reward_is_not_cut_apart() -> None:
    with pytest.raises(ConfigError, match="batch_size would cut the groups apart"):
        Source(words, limits=Limits(batch_size=2), group_relative=True)
