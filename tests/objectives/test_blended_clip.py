"""COPO's loss: two advantages, each clipped by itself."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from torch import Tensor

from concord import create
from concord.core.errors import ConfigError, MissingColumn
from concord.objectives import BlendedClip, Clip, PolicyBatch, PolicyObjective, SequenceMean, TokenRatio, Totals

NAMES = ("local_advantage", "global_advantage", "local_weight")
OBJECTIVE = PolicyObjective(TokenRatio(), BlendedClip(Clip(0.2, 0.28, 3.0)), SequenceMean())


def make(seed: int = 0, rows: int = 6, width: int = 7, *, one_sign: bool = False) -> PolicyBatch:
    g = torch.Generator().manual_seed(seed)
    logp = -torch.rand(rows, width, generator=g, dtype=torch.float64)
    old = logp + 0.6 * torch.randn(rows, width, generator=g, dtype=torch.float64)
    local, among = torch.randn(2, rows, generator=g, dtype=torch.float64)
    among = among.abs() * local.sign() if one_sign else among
    weight = torch.rand(rows, generator=g, dtype=torch.float64)
    weight[0] = 0
    mask = torch.arange(width) < torch.randint(1, width + 1, (rows,), generator=g)[:, None]
    columns = dict(zip(NAMES, (local, among, weight), strict=True))
    return PolicyBatch(logp.requires_grad_(), old, weight * local + (1 - weight) * among, mask, columns=columns)


def slow(batch: PolicyBatch) -> tuple[float, list[list[float]]]:
    """Value and gradient, token by token."""
    rows, width = batch.mask.shape
    total, gradient = 0.0, [[0.0] * width for _ in range(rows)]
    for i in range(rows):
        steps = [t for t in range(width) if batch.mask[i, t]]
        local, among, w = (batch.columns[name][i].item() for name in NAMES)
        for t in steps:
            ratio = math.exp((batch.logp[i, t] - batch.old_logp[i, t]).item())
            for share, a in ((w, local), (1 - w, among)):
                gain, slope = ratio * a, ratio * a
                clamped = min(max(ratio, 0.8), 1.28) * a
                if clamped < gain:
                    gain, slope = clamped, 0.0
                if a < 0 and gain < 3 * a:
                    gain, slope = 3 * a, 0.0
                total -= share * gain / len(steps) / rows
                gradient[i][t] -= share * slope / len(steps) / rows
    return total, gradient


def value_and_gradient(objective: PolicyObjective, batch: PolicyBatch) -> tuple[Tensor, Tensor]:
    loss = objective(batch).loss
    return loss.detach(), torch.autograd.grad(loss, batch.logp)[0]


@pytest.mark.parametrize("seed", range(5))
def test_value_and_gradient_equal_the_slow_loop(seed: int) -> None:
    batch = make(seed)
    value, gradient = value_and_gradient(OBJECTIVE, batch)
    want, slopes = slow(batch)
    assert value.item() == pytest.approx(want, rel=1e-12)
    torch.testing.assert_close(gradient, torch.tensor(slopes, dtype=torch.float64), rtol=1e-12, atol=1e-15)


def test_with_one_sign_it_is_the_clipped_loss_of_the_blend() -> None:
    batch = make(7, one_sign=True)
    plain = dataclasses.replace(OBJECTIVE, surrogate=Clip(0.2, 0.28, 3.0))
    for got, want in zip(value_and_gradient(OBJECTIVE, batch), value_and_gradient(plain, batch), strict=True):
        torch.testing.assert_close(got, want, rtol=1e-12, atol=1e-15)


def test_where_they_oppose_each_is_clipped_on_its_own_side() -> None:
    """At ratio 2 a push up is clipped and a push down is not; the blend, 0 here, would have no gradient."""
    logp = torch.tensor([[math.log(2.0)]], dtype=torch.float64, requires_grad=True)
    columns = {name: torch.tensor([x], dtype=torch.float64) for name, x in zip(NAMES, (1.0, -1.0, 0.5), strict=True)}
    batch = PolicyBatch(
        logp, torch.zeros(1, 1, dtype=torch.float64), torch.zeros(1), torch.tensor([[True]]), columns=columns
    )
    value, gradient = value_and_gradient(OBJECTIVE, batch)
    assert value.item() == pytest.approx(-0.5 * 1.28 + 0.5 * 2)
    assert gradient.item() == pytest.approx(0.5 * 2)
    assert OBJECTIVE(batch).metrics["clipped"].value() == 1


def test_a_part_that_does_not_count_is_not_counted_as_clipped() -> None:
    batch = make(3)
    batch.columns["local_weight"].fill_(0)
    plain = dataclasses.replace(OBJECTIVE, surrogate=Clip(0.2, 0.28, 3.0))
    alone = dataclasses.replace(batch, advantages=batch.columns["global_advantage"])
    assert OBJECTIVE(batch).metrics["clipped"].total == plain(alone).metrics["clipped"].total


def test_micro_batches_add_up() -> None:
    batch = make(4)
    totals = Totals.of(batch.mask)
    parts = 0.0
    for rows in (slice(0, 2), slice(2, 6)):
        part = PolicyBatch(
            batch.logp[rows],
            batch.old_logp[rows],
            batch.advantages[rows],
            batch.mask[rows],
            columns={name: x[rows] for name, x in batch.columns.items()},
        )
        parts += OBJECTIVE(part, totals).loss.item()
    assert parts == pytest.approx(OBJECTIVE(batch).loss.item(), rel=1e-12)


def test_columns_that_are_missing_are_named() -> None:
    batch = dataclasses.replace(make(), columns={"local_weight": torch.zeros(6)})
    with pytest.raises(MissingColumn, match=r"\['global_advantage', 'local_advantage'\]"):
        OBJECTIVE(batch)
    copo = create("copo")
    with pytest.raises(ConfigError, match="which no stage of the chain writes"):
        dataclasses.replace(copo, signal=copo.signal.without("blend_by_consistency"))
