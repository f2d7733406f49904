"""Ranking losses and agreement of orders."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from concord.core.errors import BatchError
from concord.functional.ranking import kendall_tau, ranking_loss

# Three pairs; the losses were printed by the authors' functions: ZJU-REAL/cooper@a7e0c38 (update_reward) with masks,
# InternLM/xtuner@b934f46 (the ranking loss of POLAR) without. Cooper's denominator has 1e-6 added.
CHOSEN, REJECTED = [1.0, -0.5, 6.0], [0.0, 0.5, -7.0]


@pytest.mark.parametrize(
    ("valid", "loss"), [(None, 0.542175), ([1, 1, 1], 0.542175), ([1, 0, 1], 0.156632), ([0, 0, 0], 0.0)]
)
def test_the_loss_is_the_authors(valid: list[int] | None, loss: float) -> None:
    mask = None if valid is None else torch.tensor(valid).bool()
    assert ranking_loss(torch.tensor(CHOSEN), torch.tensor(REJECTED), mask).item() == pytest.approx(loss, abs=1e-6)


def test_a_pair_that_is_not_valid_has_no_gradient_even_if_it_is_nan() -> None:
    chosen = torch.tensor([1.0, math.nan, math.inf], requires_grad=True)
    rejected = torch.tensor([0.0, 2.0, math.inf], requires_grad=True)
    ranking_loss(chosen, rejected, torch.tensor([True, False, False])).backward()
    slope = 1 / (1 + math.exp(1))
    assert chosen.grad is not None
    assert rejected.grad is not None
    assert chosen.grad.tolist() == pytest.approx([-slope, 0, 0])
    assert rejected.grad.tolist() == pytest.approx([slope, 0, 0])


def test_shapes_that_differ_are_refused() -> None:
    with pytest.raises(BatchError, match=r"\[\(2,\), \(3,\), \(2,\)\]"):
        ranking_loss(torch.zeros(2), torch.zeros(3))
    with pytest.raises(BatchError, match="2 and 3"):
        kendall_tau([1, 2], [1, 2, 3])


@given(st.permutations(list(range(5))), st.permutations(list(range(5))))
def test_kendall_tau_of_orders(a: list[int], b: list[int]) -> None:
    assert kendall_tau(a, a) == 1
    assert kendall_tau(a, [-x for x in a]) == -1
    discordant = sum((a[i] < a[j]) != (b[i] < b[j]) for i in range(5) for j in range(i))
    assert kendall_tau(a, b) == pytest.approx(1 - 2 * discordant / 10)
    assert kendall_tau(a, b) == kendall_tau(b, a)


@pytest.mark.parametrize(
    ("scores", "tau"), [([1, 1, 1], 0), ([1, 1, 0], -2 / 3), ([], 0), ([3], 0), ([math.nan] * 3, 0)]
)
def test_ties_and_no_order_count_nothing(scores: list[float], tau: float) -> None:
    assert kendall_tau(scores, list(range(len(scores)))) == pytest.approx(tau)
