"""Parameters and batches that the stages of BNPO, ADORA, RiskPO, CVaR, COPO and DCPO refuse."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch

from concord import Chain, Groups, Rollouts, Stage, create
from concord.core.errors import BatchError, ConfigError
from concord.stages import (
    Average,
    BetaNormalize,
    BlendByConsistency,
    BundleRisk,
    GroupCvar,
    LengthAdvantage,
    Sum,
    TemperedTarget,
)
from tests.batches import make_batch


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: BetaNormalize(1.0, 1.0), "low < high"),
        (lambda: BetaNormalize(math.nan), "low < high"),
        (lambda: BundleRisk(size=0), "at least one prompt"),
        (lambda: BundleRisk(lower=0.9), "0 < lower < upper < 1"),
        (lambda: BundleRisk(weight=-1.0), "must not be negative"),
        (lambda: BundleRisk(lr=math.nan), "must not be negative"),
        (lambda: BundleRisk(credit="all"), "'share' or 'deviation'"),  # type: ignore[arg-type]
        (lambda: BundleRisk(baseline="mean"), "'lower' or 'upper'"),  # type: ignore[arg-type]
        (lambda: GroupCvar(0.0), r"in \(0, 1\]"),
        (lambda: LengthAdvantage(rule="both"), "'llm' or 'vlm'"),  # type: ignore[arg-type]
        (lambda: LengthAdvantage(factor=-0.1), "must not be negative"),
        (lambda: BlendByConsistency(sharpness=-1.0), "must not be negative"),
        (lambda: TemperedTarget(hot=0.5), "0 < cold <= hot"),
        (lambda: TemperedTarget(cap=-0.1), "must not be negative"),
        (lambda: create("risk_po", rule="medium"), "'hard' or 'easy'"),
        (lambda: create("adora", rule="both"), "'llm' or 'vlm'"),
    ],
)
def test_parameters_outside_their_range(build: Callable[[], object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build()


@pytest.mark.parametrize("stage", [BundleRisk(), BlendByConsistency(), TemperedTarget()])
def test_several_channels_are_refused_where_one_is_meant(stage: Stage) -> None:
    batch, _ = make_batch()
    with pytest.raises(BatchError, match=r"after Sum\(\)"):
        Chain((stage, Sum()))(batch)


@pytest.mark.parametrize("name", ["adora", "dcpo"])
def test_a_reward_that_says_what_is_right_must_be_there(name: str) -> None:
    batch, _ = make_batch()
    with pytest.raises(BatchError, match="did you mean 'r1'"):
        create(name, correct="r11").signal(batch)


def test_answers_must_be_numbered() -> None:
    batch, _ = make_batch()
    for answers in (torch.rand(16), torch.zeros(16, 2, dtype=torch.int64)):
        with pytest.raises(BatchError, match="answer_ids"):
            create("copo").signal(batch.with_columns(answers=answers))


def test_the_average_is_the_sum_by_the_number_of_channels() -> None:
    batch, _ = make_batch(1, missing=0.3)
    three = Chain((Sum(),))(batch)
    average = Chain((Average(),))(batch)
    torch.testing.assert_close(average.advantages * 3, three.advantages)
    assert torch.equal(average.keep, three.keep)


def test_wrong_half_precision_and_odd_groups_pass_through_every_method() -> None:
    columns = make_batch(0, (1, 2, 5, 3, 4, 1))[0].columns
    rewards = torch.rand(16, 2, generator=torch.Generator().manual_seed(2)).bfloat16()
    rewards[3:5] = torch.nan
    batch = Rollouts(rewards, Groups.of([0, 1, 1, *[2] * 5, *[3] * 3, *[4] * 4, 5]), ("a", "b"), columns)
    for name in ("adora", "bnpo", "copo", "dcpo", "group_cvar", "risk_po"):
        outcome = create(name).signal(batch)
        assert outcome.push.advantages.isfinite().all(), name
        assert (outcome.advantages[3:5] == 0).all(), name
