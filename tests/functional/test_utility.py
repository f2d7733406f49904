"""Utilities along an episode, and the mixture of mean and CVaR, against numbers worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from concord.core.errors import ConfigError
from concord.functional.utility import mean_cvar_utility, utility_increments


def test_the_increments_of_a_known_episode() -> None:
    rewards = torch.tensor([0.5, -1, 2, 0, 0.25], dtype=torch.float64)
    got = utility_increments(rewards, lambda c: c.clamp(max=0), stock=-0.3)
    torch.testing.assert_close(got, torch.tensor([0.3, -0.8, 0.8, 0, 0], dtype=torch.float64))


@given(st.lists(st.floats(-3, 3), min_size=1, max_size=8), st.floats(-2, 2))
def test_the_increments_add_up_to_the_utility_of_the_return(rewards: list[float], stock: float) -> None:
    x = torch.tensor([rewards, rewards[::-1]], dtype=torch.float64)
    got = utility_increments(x, torch.tanh, stock).sum(-1)
    want = math.tanh(stock + math.fsum(rewards)) - math.tanh(stock)
    torch.testing.assert_close(got, torch.full((2,), want, dtype=torch.float64), atol=1e-12, rtol=0)


def test_a_turn_that_was_not_scored_adds_nothing() -> None:
    rewards = torch.tensor([1.0, math.nan, 1.0, math.inf])
    assert utility_increments(rewards, torch.square).tolist() == [1, 0, 3, 0]


@pytest.mark.parametrize(
    ("alpha", "mean", "stocks"),
    [
        (0.25, 0.0, {0: -1.2, 1: -0.4, -0.5: -1.8, 2: 0}),
        (0.25, 0.5, {0: 0.65, 1: 1.55, -0.5: 0.10, 2: 2.25}),
        (0.1, 0.0, {0: -3, 1: -1, -0.5: -4.5, 2: 0}),
    ],
)
def test_the_mean_utility_of_ten_returns(alpha: float, mean: float, stocks: dict[float, float]) -> None:
    returns = torch.arange(-2, 8, dtype=torch.float64)
    for stock, want in stocks.items():
        assert mean_cvar_utility(returns + stock, alpha, mean).mean().item() == pytest.approx(want, abs=1e-12)


def test_the_weight_of_the_mean_alone_is_the_identity() -> None:
    x = torch.linspace(-2, 2, 9)
    assert torch.equal(mean_cvar_utility(x, 0.3, mean=1.0), x)


@pytest.mark.parametrize(("alpha", "mean"), [(0, 0), (1.1, 0), (0.5, -0.1), (0.5, 1.1), (math.nan, 0)])
def test_shares_outside_their_range(alpha: float, mean: float) -> None:
    with pytest.raises(ConfigError, match="0 < alpha <= 1"):
        mean_cvar_utility(torch.zeros(1), alpha, mean)
