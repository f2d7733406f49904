"""HeRL's loss on what the policy sampled itself and what it was helped to."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from concord.core.errors import ConfigError, MissingColumn
from concord.objectives import Clip, MixedPolicy, PolicyBatch, PolicyObjective, RandomPolicyValue, TokenMean

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "herl.json").read_text())


def batch(revised: Tensor | None = None) -> PolicyBatch:
    made = GOLDEN["inputs"]
    logp = torch.tensor(made["logp"], dtype=torch.float64, requires_grad=True)
    old, advantages = (torch.tensor(made[name], dtype=torch.float64) for name in ("old_logp", "advantages"))
    mask = torch.arange(logp.shape[1]) < torch.tensor(made["lengths"])[:, None]
    revised = torch.tensor(made["revised"]) if revised is None else revised
    return PolicyBatch(logp, old, advantages, mask, columns={"revised": revised})


@pytest.mark.parametrize("case", GOLDEN["outputs"], ids=lambda case: case["case"])
def test_value_and_gradient_are_the_authors(case: dict[str, Any]) -> None:
    made = batch() if case["revised"] else batch(torch.zeros(5))
    loss, _ = PolicyObjective(surrogate=MixedPolicy(case["gamma"]), reduce=TokenMean())(made)
    loss.backward()
    assert loss.item() == pytest.approx(case["loss"], abs=1e-6)
    torch.testing.assert_close(made.logp.grad, torch.tensor(case["grad"], dtype=torch.float64), rtol=0, atol=1e-6)


def test_a_column_by_token_is_one_by_rollout() -> None:
    objective = PolicyObjective(surrogate=MixedPolicy())
    whole = batch()
    spread = batch(whole.columns["revised"][:, None].expand_as(whole.mask).double())
    assert torch.equal(objective(whole).loss, objective(spread).loss)


def test_the_weight_of_a_revised_token_is_greatest_at_gamma() -> None:
    """d/dlogx of x / (x + g) is g x / (x + g)^2."""
    x = torch.tensor([[0.01, 0.1, 1.0]], dtype=torch.float64)
    logp = x.log().requires_grad_()
    ones = torch.ones(1, 3, dtype=torch.bool)
    made = PolicyBatch(logp, torch.zeros_like(logp), torch.tensor([2.0]).double(), ones, columns={"revised": ones})
    loss, clipped = MixedPolicy(0.1)(logp.exp(), torch.tensor([[2.0]]).double(), made)
    loss.sum().backward()
    assert not clipped.any()
    torch.testing.assert_close(logp.grad, -2 * 0.1 * x / (x + 0.1) ** 2)


def test_it_says_what_it_reads_and_refuses_a_negative_gamma() -> None:
    assert PolicyObjective(surrogate=MixedPolicy()).reads == {"revised"}
    assert MixedPolicy(own=Clip()) != MixedPolicy()
    assert not PolicyObjective(surrogate=MixedPolicy()).every_row
    mixed = PolicyObjective(surrogate=MixedPolicy(own=RandomPolicyValue()))
    assert (mixed.reads, mixed.statistics, mixed.every_row) == ({"revised", "old_mean_logp"}, {"mean_logp"}, True)
    with pytest.raises(ConfigError, match="gamma"):
        MixedPolicy(-0.1)
    with pytest.raises(MissingColumn, match="revised"):
        PolicyObjective(surrogate=MixedPolicy())(dataclasses.replace(batch(), columns={}))
