"""CLIPO's bonus in a chain: added to the sum, or a reward of its own."""

from __future__ import annotations

import pytest
import torch

from concord import Chain, Groups, Rollouts, Stage
from concord.core.errors import BatchError, ConfigError, MissingColumn
from concord.stages import AddContrastive, ContrastiveChannel, Sum

NAN = torch.nan
LOSS = torch.tensor([0.5, 2.5, 10.0, NAN, 0.0, NAN])
BONUS = [-0.1, -0.5, -0.5, 0.0, 0.0, 0.0]


def rollouts(rewards: list[list[float]], names: tuple[str, ...] = ("right", "short")) -> Rollouts:
    values = torch.tensor(rewards)
    return Rollouts(values, Groups.uniform(2, 3), names[: values.shape[1]], {"contrastive_loss": LOSS})


REWARDS = [[1, 0.1], [1, 0.2], [1, 0.3], [0, 0.4], [1, NAN], [NAN, NAN]]


def test_the_bonus_is_added_to_the_sum() -> None:
    batch = rollouts(REWARDS)
    total = Chain((Sum(),))(batch).advantages
    outcome = Chain((Sum(), AddContrastive()))(batch)
    torch.testing.assert_close(outcome.advantages, total + torch.tensor(BONUS))
    assert outcome.keep.tolist() == [True] * 5 + [False]
    assert outcome.metrics["add_contrastive/bonus"].item() == pytest.approx(-1.1 / 4)
    assert outcome.metrics["add_contrastive/floored"].item() == pytest.approx(2 / 4)


def test_the_channel_scores_the_anchors_and_no_other() -> None:
    outcome = Chain((ContrastiveChannel(scale=0.1, floor=-0.3), Sum()))(rollouts(REWARDS), trace=True)
    signal = dict(outcome.trace)["contrastive_channel"]
    assert signal.channels == ("right", "short", "contrastive")
    want = torch.tensor([-0.05, -0.25, -0.3, NAN, 0.0, NAN])
    torch.testing.assert_close(signal.values[:, 2].float(), want, equal_nan=True)
    torch.testing.assert_close(signal.values[:, :2].float(), torch.tensor(REWARDS), equal_nan=True)


def test_where_there_is_no_anchor_nothing_is_added_and_metrics_are_zero() -> None:
    batch = rollouts(REWARDS).with_columns(contrastive_loss=torch.full((6,), NAN))
    outcome = Chain((Sum(), AddContrastive()))(batch)
    assert torch.equal(outcome.advantages, Chain((Sum(),))(batch).advantages)
    assert outcome.metrics["add_contrastive/bonus"] == outcome.metrics["add_contrastive/floored"] == 0


def test_several_channels_are_not_all_given_the_bonus() -> None:
    with pytest.raises(BatchError, match=r"added to one channel, not to \('right', 'short'\); put it after Sum"):
        Chain((AddContrastive(), Sum()))(rollouts(REWARDS))


def test_a_reward_of_the_channels_name_is_refused() -> None:
    with pytest.raises(BatchError, match="a reward is named 'contrastive'"):
        Chain((ContrastiveChannel(), Sum()))(rollouts(REWARDS, ("right", "contrastive")))


@pytest.mark.parametrize("stage", [AddContrastive, ContrastiveChannel])
@pytest.mark.parametrize("values", [{"scale": -0.1}, {"scale": float("nan")}, {"floor": 0.1}, {"floor": -float("inf")}])
def test_parameters_out_of_range_are_refused(stage: type[Stage], values: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="need scale >= 0 and floor <= 0, both finite"):
        stage(**values)


@pytest.mark.parametrize("stage", [AddContrastive(), ContrastiveChannel()])
def test_a_missing_loss_is_named(stage: Stage) -> None:
    batch = Rollouts(torch.zeros(2, 1), Groups.uniform(1, 2), ("right",))
    with pytest.raises(MissingColumn, match=f"stage '{stage.name}' needs columns \\['contrastive_loss'\\]"):
        Chain((stage,))(batch)
