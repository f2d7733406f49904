"""Rewards that score the turns of a rollout."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from concord import create
from concord.core.errors import BatchError, ConfigError, RewardError
from concord.core.groups import Groups
from concord.engines.trl import ConcordConfig
from concord.engines.trl.rewards import Rewards
from concord.rewards import NamedReward, RewardBatch, RewardSet
from concord.rewards.check import check


def returning(value: Any) -> Callable[..., Any]:
    def reward(completions: list[str], **_: Any) -> Any:
        return value

    return reward


def asked(value: Any, turns: str | None, **settings: Any) -> Any:
    count = len(value)
    reward = NamedReward("paid", returning(value), turns=turns, on_error="abstain", **settings)
    return RewardSet([reward]).score(RewardBatch(["?"] * count, ["a"] * count))


RAGGED = [[1.0, 2.0, 4.0], [3], [None, 2.0], [2.0, None], [None], [], None, 5.0, (True, False)]


@pytest.mark.parametrize(
    ("turns", "values"),
    [
        ("sum", [7, 3, 2, 2, None, None, None, 5, 1]),
        ("mean", [7 / 3, 3, 2, 2, None, None, None, 5, 0.5]),
        ("last", [4, 3, 2, None, None, None, None, 5, 0]),
    ],
)
def test_ragged_lists_become_one_score_a_rollout(turns: str, values: list[float | None]) -> None:
    found = asked(RAGGED, turns)
    assert found.values["paid"] == values
    assert found.statuses["paid"] == ["abstained" if value is None else "scored" for value in values]


@pytest.mark.parametrize(
    "value",
    [torch.tensor([[1.0, 2.0], [3.0, 4.0]]), np.array([[1, 2], [3, 4]]), [torch.tensor([1.0, 2]), np.array([3, 4])]],
    ids=["tensor", "array", "list of both"],
)
def test_arrays_are_lists(value: Any) -> None:
    assert asked(value, "sum").values["paid"] == [3.0, 7.0]


def test_the_sum_is_scaled_and_not_its_parts() -> None:
    assert asked([[1.0, 2.0]], "sum", scale=2.0, shift=1.0, clamp=(None, 6)).values["paid"] == [6.0]


@pytest.mark.parametrize(
    ("entry", "turns", "said"),
    [
        ([1.0, math.nan], "sum", "turn 1: returned nan"),
        ([math.inf], "last", "turn 0: returned inf"),
        ([1.0, "good"], "mean", "turn 1: returned 'good' (str)"),
        ([[1.0, 2.0], [3.0]], "sum", "turn 0: returned [1.0, 2.0] (list)"),
        ([3e38, 3e38], "sum", "returned 6e+38"),
        ({"a": 1.0, "b": 2.0}, "sum", "returned several scores by name ('a', 'b')"),
        ("good", "sum", "returned 'good' (str)"),
        ([1.0, 2.0], None, "if these are the scores of its turns, say turns: sum, last, mean or each"),
    ],
)
def test_what_is_no_list_of_scores_is_invalid(entry: Any, turns: str | None, said: str) -> None:
    found = asked([entry, 1.0], turns)
    assert found.statuses["paid"] == ["invalid", "scored"]
    assert said in found.errors["paid"]


def test_one_number_in_a_list_is_a_score_whatever_is_said_of_turns() -> None:
    for turns in (None, "sum", "last", "mean"):
        assert asked([[0.5], np.array([0.25])], turns).values["paid"] == [0.5, 0.25]


# ---- Rows that are turns ----

PROMPTS = ["p", "q", "p"]
BATCH = RewardBatch(PROMPTS, ["a", "b", "c"])


def rows(*rewards: NamedReward, turns: Any = (2, 1, 3), **more: Any) -> Any:
    return RewardSet(rewards).by_turn(BATCH, turns, **more)


def test_each_turn_is_a_row_and_an_outcome_stands_on_each_of_them() -> None:
    steps = NamedReward("step", returning([[0.5, None], [1.0], [1, 2, 3]]), turns="each", scale=2.0, clamp=(None, 5))
    found = rows(steps, NamedReward("won", returning([1.0, None, 0.0])))
    nan = math.nan
    expected = torch.tensor([[1, 1], [nan, 1], [2, nan], [2, 0], [4, 0], [5, 0]])
    torch.testing.assert_close(found.rewards, expected, equal_nan=True)
    assert found.names == ("step", "won")
    assert found.columns["trajectory"].tolist() == [0, 0, 1, 2, 2, 2]
    assert found.columns["turn"].tolist() == [0, 1, 0, 0, 1, 2]
    assert found.groups.index.tolist() == [0, 0, 1, 0, 0, 0]
    mine = rows(steps, groups=Groups.of(["x", "y", "z"]))
    assert mine.groups.index.tolist() == [0, 0, 1, 2, 2, 2]


def test_gates_and_policies_hold_row_by_row() -> None:
    found = rows(
        NamedReward("step", returning([[1.0, math.nan], [0.0], [0, 1, 0]]), turns="each", on_error="zero"),
        NamedReward("won", returning([1.0, 1.0, 1.0]), when="step >= 1"),
    )
    assert found.rewards.tolist() == [[1, 1], [0, 0], [0, 0], [0, 0], [1, 1], [0, 0]]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ([[1.0], [1.0], [1, 2, 3]], "2 of 6 scores invalid.*returned 1 score for 2 turns"),
        ([[1.0, 1.0], [], [1, 2, 3]], "1 of 6 scores invalid.*returned 0 scores for 1 turn;"),
        ([[1.0, 1.0], [1.0], 2.0], "3 of 6 scores invalid.*returned 1 score for 3 turns"),
        ([[1.0, 1.0], [1.0], [1, math.inf, 1]], "1 of 6 scores invalid.*turn 1: returned inf"),
    ],
)
def test_lists_that_do_not_fit_the_turns_are_faults(value: Any, said: str) -> None:
    with pytest.raises(RewardError, match=said):
        rows(NamedReward("step", returning(value), turns="each"))


def test_a_reward_that_fails_has_failed_at_each_turn() -> None:
    def fails(completions: list[str], **_: Any) -> list[float]:
        raise LookupError("no such turn")

    with pytest.raises(RewardError, match="6 of 6 scores failed; the first: LookupError: no such turn"):
        rows(NamedReward("step", fails, turns="each"))
    assert rows(NamedReward("step", fails, turns="each", on_error="abstain")).rewards.isnan().all()
    assert rows(NamedReward("step", returning([None, [1], None]), turns="each")).rewards.isnan().sum() == 5


@pytest.mark.parametrize("turns", [(2, 1), (2, 1, 0), (2, 1, -1), (2, 1, 1.0), (2, 1, True), (2, 1, None)])
def test_counts_that_do_not_fit_are_refused(turns: Any) -> None:
    with pytest.raises(BatchError, match="turns"):
        rows(NamedReward("step", returning([[1, 1], [1], [1]]), turns="each"), turns=turns)


def test_no_rollouts_are_no_rows() -> None:
    found = RewardSet([NamedReward("step", returning([]), turns="each")]).by_turn(RewardBatch([], []), [])
    assert found.rewards.shape == (0, 1)


def test_methods_take_the_rows() -> None:
    found = rows(
        NamedReward("won", returning([1.0, 0.0, 0.0])),
        NamedReward("step", returning([[0.0, 1.0], [1.0], [1.0, 0.0, 0.0]]), turns="each"),
    ).with_columns(tag=torch.zeros(6, dtype=torch.int64))
    outcome = create("rlvmr").signal(found)
    steps = found.rewards[:, 1][found.groups.index == 0]
    won = found.rewards[:, 0][found.groups.index == 0]
    expected = sum((x - x.mean()) / (x.std() + 1e-6) for x in (won, steps))
    torch.testing.assert_close(outcome.advantages[found.groups.index == 0], expected)


# ---- Where a row is a rollout ----


def test_each_is_refused_where_a_row_is_a_rollout() -> None:
    reward = NamedReward("step", returning([[1.0]]), turns="each")
    batch = RewardBatch(["?"], ["a"])
    for ask in (RewardSet([reward]).score, RewardSet([reward]).counted):
        with pytest.raises(ConfigError, match=r"reward 'step': turns: each needs .* sum, last or mean, or .*by_turn"):
            ask(batch)
    with pytest.raises(ConfigError, match="turns: each needs a batch whose rows are turns"):
        Rewards([reward], ConcordConfig(output_dir="unused", use_cpu=True, report_to=[]))


def test_a_word_that_is_none_is_named() -> None:
    with pytest.raises(ConfigError, match="'a': turns is one of sum, last, mean, each; got 'means'; did you mean"):
        NamedReward("a", returning([]), turns="means")


def test_the_check_looks_at_lists_of_turns() -> None:
    def steps(completions: list[str], **_: Any) -> list[list[float]]:
        return [[float(len(word)) for word in text.split()] or [0.0] for text in completions]

    batch = RewardBatch(["?", "?"], ["one two", "three"])
    for turns, verdict in (("each", "ok"), ("mean", "ok"), (None, "fault")):
        (report,) = check([NamedReward("steps", steps, turns=turns)], batch)
        assert {f.check: f.verdict for f in report.findings}["values"] == verdict
