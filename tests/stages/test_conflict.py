"""What conflict stages measure, and how they weigh a group by what is left of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch

from concord import Chain, Groups, Rollouts, Signal, Stage, create
from concord.stages import MeasureConflicts, ReweightGroups, Sum

NAN = math.nan


@dataclass(frozen=True)
class DropRows(Stage):
    """Drops the rollouts it is told to."""

    selects: ClassVar[bool] = True
    rows: tuple[int, ...] = ()

    def apply(self, signal: Signal, batch: Rollouts) -> Signal:
        keep = signal.keep.clone()
        keep[list(self.rows)] = False
        return signal.to(keep=keep)


def batch(*groups: list[list[float]]) -> Rollouts:
    ids = [p for p, rows in enumerate(groups) for _ in rows]
    return Rollouts(torch.tensor([row for rows in groups for row in rows]), Groups.of(ids), ("a", "b"))


def test_a_group_weighs_by_the_share_of_its_scored_rollouts_that_is_kept() -> None:
    """Of four rollouts three are scored, by one reward or two, and one of these is dropped: two thirds."""
    scored = batch(
        [[2.0, 1.0], [1.0, -1.0], [3.0, NAN], [NAN, NAN]],
        [[1.0, 1.0], [3.0, 2.0]],
        [[NAN, NAN], [NAN, NAN]],
        [[4.0, 4.0], [NAN, NAN]],
    )
    outcome = Chain((DropRows((1, 8)), ReweightGroups(), Sum()))(scored, trace=True)
    values = dict(outcome.trace)["reweight_groups"].values.float()
    torch.testing.assert_close(values[0], torch.tensor([2.0, 1.0]) * 2 / 3)
    torch.testing.assert_close(values[2, 0], torch.tensor(2.0))
    torch.testing.assert_close(values[4:6], torch.tensor([[1.0, 1.0], [3.0, 2.0]]))
    assert values[8].tolist() == [0.0, 0.0]
    assert outcome.metrics["reweight_groups/mean"].item() == pytest.approx((2 / 3 + 1 + 0 + 0) / 4)
    assert outcome.metrics["reweight_groups/min"].item() == 0.0


@pytest.mark.parametrize("method", ["gd2po", "gd2po_hard", "gdpo"])
def test_a_rollout_that_no_reward_scored_changes_nothing_for_its_group(method: str) -> None:
    """A method's advantages with such a rollout in each group are those without it."""
    generator = torch.Generator().manual_seed(0)
    scores = torch.rand(6, 4, 2, generator=generator, dtype=torch.float64)
    fuller = torch.cat([scores, torch.full((6, 1, 2), NAN, dtype=torch.float64)], 1)

    def advantages(x: torch.Tensor) -> torch.Tensor:
        groups, size = x.shape[:2]
        lengths = {"lengths": torch.full((groups * size,), 3)}
        return (
            create(method)
            .signal(Rollouts(x.reshape(-1, 2), Groups.uniform(groups, size), ("a", "b"), lengths))
            .advantages.reshape(groups, size)
        )

    bare, found = advantages(scores), advantages(fuller)
    assert (bare == 0).any() == (method != "gdpo")  # some are dropped, so that the groups' weights differ
    torch.testing.assert_close(found[:, :4], bare)
    assert (found[:, 4] == 0).all()


@pytest.mark.parametrize(
    ("rows", "mixed", "cancelled"),
    [
        ([[1.0, 1.0], [-2.0, -1.0]], 0.0, 0.0),
        ([[1.0, -1.0], [-2.0, 2.0]], 1.0, 1.0),
        ([[1.0, -0.5], [2.0, 0.5], [NAN, NAN]], 0.5, 1 / 4),
        ([[0.0, 0.0], [NAN, NAN]], 0.0, 0.0),
        ([[1.0, -1.0], [3.0, NAN]], 0.5, 2 / 5),
    ],
)
def test_how_far_the_channels_disagree(rows: list[list[float]], mixed: float, cancelled: float) -> None:
    metrics = Chain((MeasureConflicts(), Sum()))(batch(rows)).metrics
    assert metrics["measure_conflicts/mixed"].item() == pytest.approx(mixed)
    assert metrics["measure_conflicts/cancelled"].item() == pytest.approx(cancelled)
