"""R2VPO's dual variable: its course against a loop, and the loss at its price."""

from __future__ import annotations

import itertools
import math
import pickle
from collections.abc import Sequence
from typing import Any

import pytest
import torch

from concord import Chain, Rollouts, create
from concord.core.errors import ConfigError, MissingColumn
from concord.objectives import PolicyBatch, PricedVariance, Totals
from concord.stages import Sum, VariancePrice
from tests.batches import make_batch

NAME = "variance_price"


def measured(variance: float, dtype: torch.dtype = torch.float64) -> Rollouts:
    batch, _ = make_batch(dtype=dtype)
    return batch.with_columns(ratio_variance=torch.full((16,), variance, dtype=dtype))


def course(stage: VariancePrice, variances: Sequence[float], state: Any = None) -> list[float]:
    """The price at each step."""
    chain, prices = Chain((Sum(), stage)), []
    for variance in variances:
        outcome = chain(measured(variance), state)
        state = outcome.state
        assert (outcome.columns["price"] == outcome.columns["price"][0]).all()
        assert outcome.metrics[f"{NAME}/price"] == outcome.columns["price"][0]
        prices.append(outcome.columns["price"][0].item())
    return prices


def loop(initial: float, bound: float, rate: float, variances: Sequence[float]) -> list[float]:
    price, prices = initial, []
    for variance in variances:
        if math.isfinite(variance):
            price = max(0.0, price + rate * (variance - bound))
        prices.append(price)
    return prices


def test_its_course_equals_the_loop() -> None:
    """First nothing is measured, and later once more; in between it goes up, down, to 0, and up again."""
    variances = [math.nan, 0.03, 0.05, math.nan, 0.01, 0.0, *[0.001] * 40, math.inf, 0.2, 0.02]
    got = course(VariancePrice(0.1, 0.01, 2.0), variances)
    assert got == pytest.approx(loop(0.1, 0.01, 2.0, variances), rel=1e-12, abs=1e-15)
    assert got[0] == 0.1
    assert 0.0 in got


def test_it_rises_above_the_bound_and_falls_below_it_to_exactly_nothing() -> None:
    stage = VariancePrice(0.04, 0.01, 10.0)
    rising = course(stage, [0.02] * 30)
    assert all(after > before for before, after in itertools.pairwise(rising))
    assert rising[-1] == pytest.approx(0.04 + 30 * 0.1)
    assert course(stage, [0.01] * 3) == [0.04] * 3
    falling = course(stage, [0.0085] * 5)
    assert falling[0] > falling[1] > falling[2] == falling[3] == falling[4] == 0.0


def test_it_holds_the_variance_at_its_bound() -> None:
    """Where every token of advantage 1 goes as far as the price lets it: 1 / (2 price) from 1."""
    state, variance, stage = (None, 3.0), 0.0, VariancePrice()
    for _ in range(300):
        outcome = Chain((Sum(), stage))(measured(variance), state)
        state = outcome.state
        variance = (1 / (2 * outcome.columns["price"][0].item())) ** 2
    assert variance == pytest.approx(0.01, rel=1e-3)
    assert outcome.columns["price"][0].item() == pytest.approx(5.0, rel=1e-3)


def test_the_signal_passes_through_and_the_state_travels() -> None:
    method, batch = create("r2vpo_dual"), measured(0.03)
    outcome = method.signal(batch)
    assert torch.equal(outcome.advantages, create("r2vpo").signal(batch).advantages)
    assert outcome.metrics[f"{NAME}/variance"].item() == pytest.approx(0.03)
    assert method.signal(measured(math.nan)).metrics[f"{NAME}/variance"].item() == 0.0
    again = method.signal(batch, pickle.loads(pickle.dumps(outcome.state)))
    assert again.columns["price"][0].item() == pytest.approx(0.04 + 2 * 0.2)
    half = method.signal(measured(0.03, torch.float32), outcome.state)
    assert half.columns["price"].dtype == torch.float32


@pytest.mark.parametrize("name", ["initial", "bound", "rate"])
@pytest.mark.parametrize("value", [-0.1, math.nan])
def test_parameters_outside_their_range(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=f"{name} must not be negative"):
        create("r2vpo_dual", **{name: value})


# ---- The loss at that price ----


def make(seed: int, price: float, shift: float = 0.4) -> PolicyBatch:
    g = torch.Generator().manual_seed(seed)
    logp = -torch.rand(6, 7, generator=g, dtype=torch.float64)
    old = logp + shift * torch.randn(6, 7, generator=g, dtype=torch.float64)
    mask = torch.arange(7) < torch.randint(1, 8, (6,), generator=g)[:, None]
    A = torch.randn(6, generator=g, dtype=torch.float64)
    return PolicyBatch(
        logp.requires_grad_(), old, A, mask, columns={"price": torch.full((6,), price, dtype=torch.float64)}
    )


def take(batch: PolicyBatch, rows: Any) -> PolicyBatch:
    columns = {name: column[rows] for name, column in batch.columns.items()}
    return PolicyBatch(
        batch.logp[rows], batch.old_logp[rows], batch.advantages[rows], batch.mask[rows], columns=columns
    )


def gradient(name: str, batch: PolicyBatch, **parameters: Any) -> torch.Tensor:
    return torch.autograd.grad(create(name, **parameters).objective(batch).loss, batch.logp)[0]


@pytest.mark.parametrize("coefficient", [0.04, 0.7])
def test_at_rate_0_it_is_r2vpo_to_the_bit(coefficient: float) -> None:
    method = create("r2vpo_dual", initial=coefficient, rate=0.0)
    state = None
    for step, variance in enumerate((math.nan, 0.5, 0.0)):
        outcome = method.signal(measured(variance), state)
        state = outcome.state
        batch = make(step, outcome.columns["price"][0].item())
        same = create("r2vpo", coefficient=coefficient)
        assert torch.equal(method.objective(batch).loss, same.objective(batch).loss)
        assert torch.equal(gradient("r2vpo_dual", batch), gradient("r2vpo", batch, coefficient=coefficient))


@pytest.mark.parametrize("price", [0.0, 0.3, 5.0])
def test_a_tokens_gradient_is_the_closed_form(price: float) -> None:
    batch = make(2, price)
    ratio = (batch.logp - batch.old_logp).exp().detach()
    want = -ratio * (batch.advantages[:, None] - 2 * price * (ratio - 1)) / batch.mask.sum()
    torch.testing.assert_close(gradient("r2vpo_dual", batch), torch.where(batch.mask, want, 0), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("price", [0.0, 5.0])
def test_on_policy_it_is_the_policy_gradient_at_any_price(price: float) -> None:
    batch = make(1, price, shift=0.0)
    want = torch.where(batch.mask, -batch.advantages[:, None], 0) / batch.mask.sum()
    torch.testing.assert_close(gradient("r2vpo_dual", batch), want, rtol=1e-12, atol=0)


def test_the_order_of_rollouts_and_micro_batches_do_not_matter() -> None:
    batch, objective = make(4, 0.6), create("r2vpo_dual").objective
    whole, order = objective(batch).loss, torch.randperm(6, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(objective(take(batch, order)).loss, whole, rtol=1e-12, atol=0)
    totals = Totals.of(batch.mask)
    parts = sum(objective(take(batch, rows), totals).loss for rows in ([0], [1, 2, 3], [4, 5]))
    torch.testing.assert_close(parts, whole, rtol=1e-12, atol=0)


def test_a_rollout_of_advantage_0_is_held_back_too_and_the_price_must_be_there() -> None:
    objective = create("r2vpo_dual").objective
    assert objective.every_row
    assert not objective.needs_reference
    assert objective.reads == {"price"}
    x = torch.zeros(1, 2)
    with pytest.raises(MissingColumn, match="reads column 'price'; this batch carries"):
        PricedVariance()(PolicyBatch(x, x, torch.zeros(1), torch.ones(1, 2).bool()))
