"""What two papers prove, as properties: the policy cliff (arXiv:2507.20150), and what an objective can express
(arXiv:2310.11840)."""

from __future__ import annotations

import math

import torch
from hypothesis import given, settings
from hypothesis import strategies as st


def policy(q: torch.Tensor, temperature: float) -> torch.Tensor:
    """The optimal policy of one step under an entropy bonus."""
    return (q / temperature).softmax(-1)


def test_an_arbitrarily_small_reward_turns_the_greedy_policy_and_not_the_soft_one() -> None:
    tie = torch.tensor([1.0, 1.0], dtype=torch.float64)
    nudged = [tie + torch.tensor([sign * 1e-6, 0.0], dtype=torch.float64) for sign in (1, -1)]
    assert [int(q.argmax()) for q in nudged] == [0, 1]
    soft = [policy(q, 0.1) for q in nudged]
    assert 0.5 * (soft[0] - soft[1]).abs().sum() <= 2e-6 / (2 * 0.1)


@settings(max_examples=200, deadline=None)
@given(
    q=st.lists(st.floats(-3, 3), min_size=2, max_size=6),
    noise=st.lists(st.floats(-1, 1), min_size=6, max_size=6),
    temperature=st.floats(0.05, 2),
)
def test_a_soft_policy_moves_no_further_than_the_reward(q: list[float], noise: list[float], temperature: float) -> None:
    """TV <= |R - R'| / (2 a), one step, in the sup norm."""
    one = torch.tensor(q, dtype=torch.float64)
    shift = torch.tensor(noise[: len(q)], dtype=torch.float64)
    distance = 0.5 * (policy(one, temperature) - policy(one + shift, temperature)).abs().sum()
    assert distance <= shift.abs().max() / (2 * temperature) + 1e-12


def test_a_function_of_a_rollouts_rewards_orders_policies_otherwise_than_one_of_their_means() -> None:
    """Gates, minima and products act on rollouts, E[f(r)]; weights from batch means are of the other kind, f(E[r])."""

    def f(x: float) -> float:
        return 1 - math.exp(-x)

    safe, gamble = (0.0,), (-1.0, 2.0)
    inner = [sum(map(f, rewards)) / len(rewards) for rewards in (safe, gamble)]
    outer = [f(sum(rewards) / len(rewards)) for rewards in (safe, gamble)]
    assert inner[1] < inner[0]
    assert outer[1] > outer[0]
    assert abs(inner[1] + 0.426808) < 1e-6
    assert abs(outer[1] - 0.393469) < 1e-6
