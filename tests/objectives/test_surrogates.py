"""Losses that stand in the clip's place, and penalties beside them: values and gradients against slow loops."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch

from concord.core.errors import BatchError, ConfigError, MissingColumn
from concord.functional.forward_kl import forward_kl
from concord.objectives import (
    Clip,
    EntropyBonus,
    ForwardKl,
    HybridClip,
    PolicyBatch,
    PolicyObjective,
    RatioRegression,
    RatioVariance,
    SequenceMean,
    SequenceRatio,
    TokenMean,
    TokenRatio,
    Totals,
    Unclipped,
)
from tests.objectives.differences import assert_gradient, gradient

HYBRID = HybridClip(Clip(0.2, 0.28), Clip(0.05, 0.1), 0.3)
OBJECTIVES = {
    "gbpo": PolicyObjective(surrogate=RatioRegression(), reduce=TokenMean()),
    "r2vpo": PolicyObjective(surrogate=Unclipped(), reduce=TokenMean(), penalties=(RatioVariance(0.7),)),
    "dhpo": PolicyObjective(surrogate=HYBRID, reduce=SequenceMean()),
    "forward kl": PolicyObjective(reduce=TokenMean(), penalties=(ForwardKl(0.3),)),
    "entropy": PolicyObjective(reduce=TokenMean(), penalties=(EntropyBonus(0.3),)),
}


def make(seed: int = 0, rows: int = 6, width: int = 7, shift: float = 0.4) -> PolicyBatch:
    g = torch.Generator().manual_seed(seed)

    def noise() -> torch.Tensor:
        return torch.randn(rows, width, generator=g, dtype=torch.float64)

    logp = -torch.rand(rows, width, generator=g, dtype=torch.float64) - 0.1
    return PolicyBatch(
        logp=logp.requires_grad_(),
        old_logp=logp.detach() + shift * noise(),
        advantages=noise()[:, 0],
        mask=torch.arange(width) < torch.randint(1, width + 1, (rows,), generator=g)[:, None],
        ref_logp=logp.detach() + 0.3 * noise(),
        columns={"target": 1 + 0.3 * torch.rand(rows, generator=g, dtype=torch.float64).mul(2).sub(1)},
    )


def clipped(ratio: float, a: float, low: float, high: float) -> float:
    return -min(ratio * a, min(max(ratio, 1 - low), 1 + high) * a)


def one_token(name: str, batch: PolicyBatch, i: int, t: int, sequence: float) -> float:
    """The loss at a token, from the papers; ``sequence`` is its response's ratio."""
    assert batch.ref_logp is not None
    a, logp = batch.advantages[i].item(), batch.logp[i, t].item()
    ratio = math.exp(logp - batch.old_logp[i, t].item())
    u = math.exp(batch.ref_logp[i, t].item() - logp)
    return {
        "gbpo": abs(ratio - batch.columns["target"][i].item()) * abs(a),
        "r2vpo": -ratio * a + 0.7 * (ratio - 1) ** 2,
        "dhpo": 0.3 * clipped(ratio, a, 0.2, 0.28) + 0.7 * clipped(sequence, a, 0.05, 0.1),
        "forward kl": clipped(ratio, a, 0.2, 0.2) + 0.3 * (u * math.log(u) - u + 1),
        "entropy": clipped(ratio, a, 0.2, 0.2) + 0.3 * ratio * logp,
    }[name]


def slow(name: str, batch: PolicyBatch) -> float:
    total, tokens = 0.0, int(batch.mask.sum())
    for i, row in enumerate(batch.mask.tolist()):
        steps = [t for t, on in enumerate(row) if on]
        sequence = math.exp(sum((batch.logp[i, t] - batch.old_logp[i, t]).item() for t in steps) / len(steps))
        each = [one_token(name, batch, i, t, sequence) for t in steps]
        total += sum(each) / len(each) / len(batch.mask) if name == "dhpo" else sum(each) / tokens
    return total


def moved(batch: PolicyBatch, logp: torch.Tensor) -> PolicyBatch:
    return PolicyBatch(
        logp, batch.old_logp, batch.advantages, batch.mask, batch.ref_logp, None, batch.columns, batch.groups
    )


@pytest.mark.parametrize("name", OBJECTIVES)
@pytest.mark.parametrize("seed", range(4))
def test_value(name: str, seed: int) -> None:
    batch = make(seed)
    assert OBJECTIVES[name](batch).loss.item() == pytest.approx(slow(name, batch), rel=1e-12)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_gradient_is_that_of_the_slow_loss(name: str) -> None:
    """Central differences of the slow loop, at every position."""
    batch = make(3)
    assert_gradient(OBJECTIVES[name], batch, lambda logp: slow(name, moved(batch, logp)))


@pytest.mark.parametrize("name", OBJECTIVES)
def test_what_is_off_the_mask_cannot_poison_the_loss(name: str) -> None:
    batch = make(7)
    logp = batch.logp.detach().clone()
    logp[~batch.mask] = -torch.inf
    broken = moved(batch, logp.requires_grad_())
    assert OBJECTIVES[name](broken).loss.item() == OBJECTIVES[name](batch).loss.item()
    assert gradient(OBJECTIVES[name], broken)[batch.mask].isfinite().all()


@pytest.mark.parametrize("name", OBJECTIVES)
def test_micro_batches_add_up_to_the_batch(name: str) -> None:
    objective, batch = OBJECTIVES[name], make(4)
    totals, parts = Totals.of(batch.mask), 0.0
    assert batch.ref_logp is not None
    for rows in (slice(0, 1), slice(1, 4), slice(4, 6)):
        columns = {name: column[rows] for name, column in batch.columns.items()}
        part = PolicyBatch(
            batch.logp[rows], batch.old_logp[rows], batch.advantages[rows], batch.mask[rows], batch.ref_logp[rows],
            None, columns,
        )  # fmt: skip
        parts += objective(part, totals).loss.item()
    assert parts == pytest.approx(objective(batch).loss.item(), rel=1e-12)


# ---- Unclipped, and the ratio's variance ----


def test_on_policy_the_unclipped_gradient_is_reinforces() -> None:
    batch = make(1, shift=0.0)
    want = torch.where(batch.mask, -batch.advantages[:, None], 0) / batch.mask.sum()
    torch.testing.assert_close(gradient(PolicyObjective(surrogate=Unclipped(), reduce=TokenMean()), batch), want)
    torch.testing.assert_close(gradient(OBJECTIVES["r2vpo"], batch), want)


def test_the_price_of_the_ratios_variance_rises_with_the_distance_and_on_both_sides() -> None:
    """Advantage 0, so the price is all: its gradient by log-probability is 2 c (ratio - 1) ratio."""
    ratio = torch.tensor([[0.5, 0.9, 1.0, 1.1, 2.0]], dtype=torch.float64)
    logp = ratio.log().requires_grad_()
    batch = PolicyBatch(logp, torch.zeros_like(ratio), torch.zeros(1, dtype=torch.float64), ratio > 0)
    objective = OBJECTIVES["r2vpo"]
    assert objective.every_row
    torch.testing.assert_close(gradient(objective, batch), 1.4 * (ratio - 1) * ratio / 5)


# ---- The target ----


@pytest.mark.parametrize("advantage", [2.0, -2.0])
def test_the_ratio_is_drawn_to_its_target_whatever_the_advantages_sign(advantage: float) -> None:
    ratio = torch.tensor([[1.0, 1.3, 1.5]], dtype=torch.float64)
    logp = ratio.log().requires_grad_()
    batch = PolicyBatch(
        logp, torch.zeros_like(ratio), torch.tensor([advantage]).double(), ratio > 0,
        columns={"target": torch.tensor([1.3], dtype=torch.float64)},
    )  # fmt: skip
    slope = gradient(OBJECTIVES["gbpo"], batch) * 3
    torch.testing.assert_close(slope[0, [0, 2]], 2 * ratio[0, [0, 2]] * torch.tensor([-1.0, 1.0]))
    metrics = OBJECTIVES["gbpo"](batch).metrics
    assert metrics["clipped"].value().item() >= 1 / 3


def test_a_target_for_each_token_is_read_too_and_none_is_said() -> None:
    batch = make(2)
    wide = {"target": batch.columns["target"][:, None].expand_as(batch.logp)}
    other = PolicyBatch(batch.logp, batch.old_logp, batch.advantages, batch.mask, columns=wide)
    assert OBJECTIVES["gbpo"](other).loss.item() == OBJECTIVES["gbpo"](batch).loss.item()
    bare = PolicyBatch(batch.logp, batch.old_logp, batch.advantages, batch.mask)
    with pytest.raises(MissingColumn, match="reads column 'target'; this batch carries"):
        OBJECTIVES["gbpo"](bare)


# ---- Two clips ----


@pytest.mark.parametrize(
    ("weight", "same"),
    [
        (1.0, PolicyObjective(TokenRatio(), Clip(0.2, 0.28), SequenceMean())),
        (0.0, PolicyObjective(SequenceRatio(), Clip(0.05, 0.1), SequenceMean())),
    ],
)
def test_with_all_the_weight_on_one_side_it_is_that_side(weight: float, same: PolicyObjective) -> None:
    objective = PolicyObjective(surrogate=HybridClip(Clip(0.2, 0.28), Clip(0.05, 0.1), weight))
    for seed in range(4):
        batch = make(seed)
        torch.testing.assert_close(objective(batch).loss, same(batch).loss, rtol=1e-12, atol=0)
        torch.testing.assert_close(gradient(objective, batch), gradient(same, batch), rtol=1e-12, atol=1e-15)


def test_a_token_that_ran_off_does_not_silence_its_responses_part() -> None:
    """The first token's ratio is far above its clip; the response's is below 1, and still pushes all tokens up."""
    logp = torch.tensor([[2.0, -1.5, -1.5]], dtype=torch.float64, requires_grad=True)
    batch = PolicyBatch(logp, torch.zeros(1, 3).double(), torch.ones(1).double(), torch.ones(1, 3).bool())
    slope = gradient(PolicyObjective(surrogate=HybridClip(weight=0.5)), batch)
    sequence = math.exp(-1 / 3)
    assert slope[0, 0].item() == pytest.approx(-0.5 * sequence / 3)
    assert (slope < 0).all()


# ---- Penalties ----


def test_the_forward_estimate_is_the_divergence_when_averaged_over_the_policy() -> None:
    p, q = torch.tensor([0.7, 0.2, 0.1]).double(), torch.tensor([0.3, 0.3, 0.4]).double()
    estimate = forward_kl(p.log(), q.log())
    torch.testing.assert_close((p * estimate).sum(), (q * (q / p).log()).sum())
    assert (estimate >= 0).all()
    assert forward_kl(torch.tensor([-1e4]), torch.tensor([0.0])).isfinite().all()


@pytest.mark.parametrize("beta", [0.3, -0.2])
def test_the_bonus_has_the_entropys_value_and_gradient_when_averaged_over_the_sampling_policy(beta: float) -> None:
    """One token of three, enumerated: a response for each, weighed by the probability that it was sampled."""
    logits = torch.tensor([0.5, -0.3, 1.0], dtype=torch.float64, requires_grad=True)
    old = torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64)
    logp = logits.log_softmax(0)
    batch = PolicyBatch(logp[:, None], old.log()[:, None], torch.zeros(3).double(), torch.ones(3, 1).bool())
    bonus = (old * EntropyBonus(beta)(batch)[:, 0]).sum()
    entropy = -(logp.exp() * logp).sum()
    torch.testing.assert_close(bonus, -beta * entropy)
    got, want = (
        torch.autograd.grad(bonus, logits, retain_graph=True)[0],
        torch.autograd.grad(-beta * entropy, logits)[0],
    )
    torch.testing.assert_close(got, want)


BAD: list[tuple[Callable[[], object], str]] = [
    (lambda: RatioVariance(-1.0), "must not be negative"),
    (lambda: HybridClip(weight=1.5), r"in \[0, 1\]"),
    (lambda: ForwardKl(-0.1), "alpha must not be negative"),
    (lambda: EntropyBonus(float("nan")), "finite number"),
]


@pytest.mark.parametrize(("build", "message"), BAD)
def test_parameters_outside_their_range(build: Callable[[], object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build()


def test_the_forward_kl_says_that_it_needs_a_reference() -> None:
    x = torch.zeros(1, 2)
    assert OBJECTIVES["forward kl"].needs_reference
    with pytest.raises(BatchError, match="needs ref_logp"):
        ForwardKl(1.0)(PolicyBatch(x, x, torch.zeros(1), torch.ones(1, 2).bool()))
