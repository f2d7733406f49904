"""What verl, slime and miles log of a step: every figure of a small batch, by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from concord import Groups, Rollouts
from concord.engines.settings import Settings
from concord.engines.signal import StepSignal

NAN = math.nan


def logged(scores: list[list[float]], method: str = "gdpo", **args: Any) -> dict[str, float]:
    """Of prompts with two responses each."""
    rewards = torch.tensor(scores)
    columns = {
        "lengths": torch.full((len(scores),), 5),
        "truncated": torch.zeros(len(scores), dtype=torch.bool),
    }
    groups = Groups.uniform(len(scores) // 2, 2)
    return StepSignal(Settings(method, ("a", "b"), args))(Rollouts(rewards, groups, ("a", "b"), columns))[1]


OPPOSED, AGREED = [[0.0, 1.0], [1.0, 0.0]], [[0.0, 0.0], [1.0, 1.0]]


@pytest.mark.parametrize(
    ("scores", "weight", "mixed", "cancelled"),
    [
        (OPPOSED, 1.0, 1.0, 1.0),
        (OPPOSED, 0.5, 1.0, 2 / 3),  # 1 - |1 - 0.5| / 1.5
        (OPPOSED, 0.0, 0.0, 0.0),
        (OPPOSED, -1.0, 0.0, 0.0),
        (AGREED, -0.5, 1.0, 2 / 3),
        ([*OPPOSED, *AGREED], 1.0, 0.5, 0.5),
        ([*OPPOSED, [NAN, NAN], [NAN, NAN]], 0.5, 1.0, 2 / 3),  # of the scored
    ],
)
def test_the_conflict_is_that_of_the_weighted_rewards(
    scores: list[list[float]], weight: float, mixed: float, cancelled: float
) -> None:
    found = logged(scores, weights={"b": weight})
    assert found["concord/conflict/mixed"] == pytest.approx(mixed)
    assert found["concord/conflict/cancelled"] == pytest.approx(cancelled)


def test_what_is_missing_and_what_is_kept() -> None:
    """Of eight responses a misses one, b misses three; two have no score; a group of them and one opposed are empty."""
    found = logged([*OPPOSED, *AGREED, [NAN, NAN], [NAN, NAN], [5.0, NAN], [3.0, 1.0]], "gd2po_hard")
    assert found["concord/rewards/a/missing"] == pytest.approx(2 / 8)
    assert found["concord/rewards/b/missing"] == pytest.approx(3 / 8)
    assert found["concord/rewards/a/mean"] == pytest.approx(10 / 6)
    assert found["concord/rewards/b/mean"] == pytest.approx(3 / 5)
    assert found["concord/kept"] == pytest.approx(4 / 8)
    assert found["concord/empty_groups"] == pytest.approx(2 / 4)


def test_all_scored_is_none_missing() -> None:
    found = logged(OPPOSED)
    assert (found["concord/rewards/a/missing"], found["concord/kept"], found["concord/empty_groups"]) == (0, 1, 0)
