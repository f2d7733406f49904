"""Advantages from a critic: the authors' numbers, closed forms, holes in the mask."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from concord.core.errors import BatchError
from concord.functional.gae import at_last_token, gae, value_loss
from concord.functional.whitening import whiten

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "gae.json").read_text())
# Printed by the function of pearls-lab/meow-tea-taro@a9c248c for these rewards, values and mask.
REWARDS, VALUES = torch.tensor([[0, 0.5, 0, 0, 0, 1]]), torch.tensor([[0.1, 0.2, 9, 9, 0.3, 0.4]])
MASK = torch.tensor([[True, True, False, False, True, True]])
TURNS = [
    (1.0, 0.95, [1.274675, 1.236500, 0.670000, 0.600000], [0.915528, 0.809419, -0.765190, -0.959757]),
    (0.99, 0.9, [1.130548, 1.158865, 0.630600, 0.600000], [0.818437, 0.910935, -0.814706, -0.914665]),
]


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda case: f"{case['gamma']}-{case['lam']}")
def test_advantages_and_returns_are_verls(case: dict[str, object]) -> None:
    score, values, mask = (torch.tensor(GOLDEN[name]) for name in ("score", "values", "mask"))
    advantages, returns = gae(at_last_token(score, mask), values, mask, gamma=case["gamma"], lam=case["lam"])  # type: ignore[arg-type]
    torch.testing.assert_close(returns, torch.tensor(case["returns"]), rtol=0, atol=1e-5)
    white = whiten(advantages.view(-1, 1), mask.view(-1, 1).float(), eps=1e-8, eps_in_root=True).values.view_as(values)
    torch.testing.assert_close(torch.where(mask, white, 0), torch.tensor(case["whitened"]), rtol=0, atol=1e-5)


def test_the_critics_loss_is_verls() -> None:
    predicted, old, mask = (torch.tensor(GOLDEN[name]) for name in ("value_predictions", "values", "mask"))
    loss = value_loss(predicted, old, torch.tensor(GOLDEN["cases"][1]["returns"]), mask, clip=0.5)
    assert loss.item() == pytest.approx(GOLDEN["value_loss"], abs=1e-5)


@pytest.mark.parametrize(("gamma", "lam", "raw", "whitened"), TURNS)
def test_holes_in_the_mask_take_no_step(gamma: float, lam: float, raw: list[float], whitened: list[float]) -> None:
    advantages, returns = gae(REWARDS, VALUES, MASK, gamma=gamma, lam=lam)
    torch.testing.assert_close(advantages[MASK], torch.tensor(raw), rtol=0, atol=1e-6)
    torch.testing.assert_close(returns[MASK], torch.tensor(raw) + VALUES[MASK], rtol=0, atol=1e-6)
    white = whiten(advantages[MASK][:, None], torch.ones(4, 1), eps=1e-8, eps_in_root=True).values[:, 0]
    torch.testing.assert_close(white, torch.tensor(whitened), rtol=0, atol=1e-6)
    assert (advantages[~MASK] == 0).all()


def test_what_lies_on_a_hole_is_not_read() -> None:
    hostile = torch.where(MASK, VALUES, torch.nan), torch.where(MASK, REWARDS, torch.inf)
    assert torch.equal(gae(hostile[1], hostile[0], MASK).advantages, gae(REWARDS, VALUES, MASK).advantages)


def test_lambda_one_is_the_return_minus_the_value_and_lambda_zero_the_error_of_one_step() -> None:
    rng = torch.Generator().manual_seed(0)
    rewards, values = torch.randn(2, 3, 5, generator=rng, dtype=torch.float64)
    mask = torch.ones(3, 5, dtype=torch.bool)
    discounted = torch.stack([(0.9 ** torch.arange(5 - t) * rewards[:, t:]).sum(1) for t in range(5)], 1)
    torch.testing.assert_close(gae(rewards, values, mask, gamma=0.9, lam=1.0).advantages, discounted - values)
    following = torch.cat([values[:, 1:], torch.zeros(3, 1)], 1)
    error = rewards + 0.9 * following - values
    torch.testing.assert_close(gae(rewards, values, mask, gamma=0.9, lam=0.0).advantages, error)


def test_no_tokens_give_no_advantages() -> None:
    empty = torch.zeros(2, 0)
    assert gae(empty, empty, empty.bool()).advantages.shape == (2, 0)
    none = gae(torch.ones(1, 3), torch.ones(1, 3), torch.zeros(1, 3, dtype=torch.bool))
    assert (none.advantages == 0).all()
    assert value_loss(torch.ones(1, 3), torch.ones(1, 3), torch.ones(1, 3), torch.zeros(1, 3, dtype=torch.bool)) == 0


def test_shapes_that_differ_are_named() -> None:
    with pytest.raises(BatchError, match=r"\(1, 2\), \(1, 3\) and \(1, 3\)"):
        gae(torch.ones(1, 2), torch.ones(1, 3), torch.ones(1, 3, dtype=torch.bool))


def test_the_critics_gradient_stops_where_the_clip_holds_and_the_error_is_larger_outside() -> None:
    values = torch.tensor([[2.0, 0.2]], requires_grad=True)
    value_loss(values, torch.zeros(1, 2), torch.tensor([[-1.0, 1.0]]), torch.ones(1, 2, dtype=torch.bool)).backward()
    # The first has left the clip away from its return, so the plain error is the larger and pulls it back.
    assert values.grad is not None
    torch.testing.assert_close(values.grad, torch.tensor([[1.5, -0.4]]))
    values.grad = None
    value_loss(values, torch.zeros(1, 2), torch.tensor([[3.0, 1.0]]), torch.ones(1, 2, dtype=torch.bool)).backward()
    torch.testing.assert_close(values.grad, torch.tensor([[0.0, -0.4]]))
