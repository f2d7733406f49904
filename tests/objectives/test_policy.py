"""Policy losses: values and gradients against slow loops, and micro-batches that add up."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from concord import create, names
from concord.core.errors import BatchError, ConfigError
from concord.functional.kl import k1, k2, k3
from concord.objectives import (
    Clip,
    FixedLength,
    Kl,
    PolicyBatch,
    PolicyObjective,
    SequenceMean,
    SequenceRatio,
    SequenceTokenRatio,
    TokenMean,
    TokenRatio,
    Totals,
    WholeSequenceRatio,
)
from tests.objectives.differences import assert_gradient, gradient

CLIP = Clip(0.2, 0.28, dual=3.0)
OBJECTIVES = {
    "ppo, token mean": PolicyObjective(TokenRatio(), CLIP, TokenMean()),
    "grpo": PolicyObjective(TokenRatio(), Clip(), SequenceMean()),
    "dr_grpo": PolicyObjective(TokenRatio(), Clip(), FixedLength(17)),
    "gspo": PolicyObjective(SequenceRatio(), Clip(0.05, 0.05), SequenceMean()),
    "rloo": PolicyObjective(WholeSequenceRatio(), Clip(), SequenceMean()),
    "with kl": PolicyObjective(TokenRatio(), Clip(), SequenceMean(), (Kl(0.1), Kl(0.2, "k1"), Kl(0.3, "k2"))),
}


def make(seed: int = 0, rows: int = 6, width: int = 7, shift: float = 0.4) -> PolicyBatch:
    g = torch.Generator().manual_seed(seed)
    logp = -torch.rand(rows, width, generator=g, dtype=torch.float64)
    lengths = torch.randint(1, width + 1, (rows,), generator=g)
    return PolicyBatch(
        logp=logp.requires_grad_(),
        old_logp=logp.detach() + shift * torch.randn(rows, width, generator=g, dtype=torch.float64),
        advantages=torch.randn(rows, generator=g, dtype=torch.float64),
        mask=torch.arange(width) < lengths[:, None],
        ref_logp=logp.detach() + 0.3 * torch.randn(rows, width, generator=g, dtype=torch.float64),
    )


def slow(objective: PolicyObjective, batch: PolicyBatch) -> float:
    """The same loss in loops over floats."""
    total, tokens = 0.0, int(batch.mask.sum())
    for i, row in enumerate(batch.mask.tolist()):
        steps = [t for t, on in enumerate(row) if on]
        diff = [(batch.logp[i, t] - batch.old_logp[i, t]).item() for t in steps]
        whole = sum(diff) if isinstance(objective.ratio, WholeSequenceRatio) else sum(diff) / len(diff)
        each = []
        for t, d in zip(steps, diff, strict=True):
            ratio = math.exp(d if isinstance(objective.ratio, TokenRatio) else whole)
            a, clip = batch.advantages[i].item(), objective.surrogate
            gain = min(ratio * a, min(max(ratio, 1 - clip.low), 1 + clip.high) * a)
            if clip.dual is not None and a < 0:
                gain = max(gain, clip.dual * a)
            loss = -gain
            for penalty in objective.penalties:
                d_ref = (batch.ref_logp[i, t] - batch.logp[i, t]).item()  # type: ignore[index]
                loss += (
                    penalty.beta
                    * {"k1": -d_ref, "k2": d_ref**2 / 2, "k3": math.exp(d_ref) - d_ref - 1}[penalty.estimator]
                )
            each.append(loss)
        if isinstance(objective.reduce, TokenMean):
            total += sum(each) / tokens
        elif isinstance(objective.reduce, SequenceMean):
            total += sum(each) / len(each) / len(batch.mask)
        else:
            total += sum(each) / (len(batch.mask) * objective.reduce.length)  # type: ignore[attr-defined]
    return total


@pytest.mark.parametrize("name", OBJECTIVES)
@pytest.mark.parametrize("seed", range(5))
def test_value(name: str, seed: int) -> None:
    batch = make(seed)
    assert OBJECTIVES[name](batch).loss.item() == pytest.approx(slow(OBJECTIVES[name], batch), rel=1e-12)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_gradient_is_that_of_the_slow_loss(name: str) -> None:
    """Central differences of the slow loop, at every position."""
    objective, batch = OBJECTIVES[name], make(3)

    def at(logp: Tensor) -> float:
        return slow(objective, PolicyBatch(logp, batch.old_logp, batch.advantages, batch.mask, batch.ref_logp))

    assert_gradient(objective, batch, at)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_micro_batches_add_up_to_the_batch(name: str) -> None:
    objective, batch = OBJECTIVES[name], make(4)
    totals = Totals.of(batch.mask)
    whole, parts, pieces = objective(batch), [], []
    for rows in (slice(0, 1), slice(1, 4), slice(4, 6)):
        logp = batch.logp[rows].detach().requires_grad_()
        assert batch.ref_logp is not None
        part = PolicyBatch(logp, batch.old_logp[rows], batch.advantages[rows], batch.mask[rows], batch.ref_logp[rows])
        loss = objective(part, totals)
        parts.append(loss)
        pieces.append(torch.autograd.grad(loss.loss, logp)[0])
    assert sum(p.loss.item() for p in parts) == pytest.approx(whole.loss.item(), rel=1e-12)
    torch.testing.assert_close(torch.cat(pieces), gradient(objective, batch), rtol=1e-12, atol=1e-15)
    for metric, value in whole.metrics.items():
        added = parts[0].metrics[metric] + parts[1].metrics[metric] + parts[2].metrics[metric]
        torch.testing.assert_close(added.value(), value.value())


@pytest.mark.parametrize("name", [name for name, objective in OBJECTIVES.items() if not objective.penalties])
def test_a_row_of_advantage_zero_adds_nothing_but_its_place_in_the_denominator(name: str) -> None:
    batch = make(5)
    batch.advantages[2:4] = 0
    some = torch.tensor([0, 1, 4, 5])
    fewer = PolicyBatch(batch.logp[some], batch.old_logp[some], batch.advantages[some], batch.mask[some])
    full = gradient(OBJECTIVES[name], batch)
    left_out = torch.autograd.grad(OBJECTIVES[name](fewer, Totals.of(batch.mask)).loss, batch.logp)[0]
    torch.testing.assert_close(full, left_out, rtol=0, atol=0)


def test_on_policy_gspo_is_grpo() -> None:
    batch = make(6, shift=0.0)
    torch.testing.assert_close(gradient(OBJECTIVES["gspo"], batch), gradient(OBJECTIVES["grpo"], batch))


def test_dual_clip_bounds_the_loss_of_a_bad_response() -> None:
    ratio = torch.tensor([[10.0]])
    assert Clip(0.2, 0.2)(ratio, torch.tensor([[-1.0]]))[0].item() == 10.0
    loss, clipped = Clip(0.2, 0.2, dual=3.0)(ratio, torch.tensor([[-1.0]]))
    assert loss.item() == 3.0
    assert clipped.item()


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss", "slope", "clipped"),
    [
        (1.5, 1.0, -1.25, 0, True),
        (1.2500001, 2.0, -2.5, 0, True),
        (1.2499999, 2.0, -2.4999998, -2, False),
        (0.5, 1.0, -0.5, -1, False),
        (0.5, -1.0, 0.75, 0, True),
        (0.7499999, -2.0, 1.5, 0, True),
        (0.7500001, -2.0, 1.5000002, 2, False),
        (1.5, -1.0, 1.5, 1, False),
        (2.9999999, -2.0, 5.9999998, 2, False),  # below the dual bound
        (3.0000001, -2.0, 6.0, 0, True),
        (9.0, 2.0, -2.5, 0, True),  # the dual bound is for bad responses
        (9.0, 0.0, 0.0, 0, False),
    ],
)
def test_the_corners_of_the_clip_and_its_slopes(
    ratio: float, advantage: float, loss: float, slope: float, clipped: bool
) -> None:
    """Bounds 3/4, 5/4 and the dual one, 3: value, slope in the ratio, and what is counted as clipped."""
    at = torch.tensor([[ratio]], dtype=torch.float64, requires_grad=True)
    got, where = Clip(0.25, 0.25, dual=3.0)(at, torch.tensor([[advantage]]).double())
    assert got.item() == pytest.approx(loss, rel=1e-12)
    assert torch.autograd.grad(got.sum(), at)[0].item() == pytest.approx(slope)
    assert where.item() is clipped


@pytest.mark.parametrize(("ratio", "advantage"), [(0.75, 1.0), (0.75, -1.0), (1.25, 1.0), (1.25, -1.0), (3.0, -1.0)])
def test_nothing_is_clipped_at_the_bound_itself(ratio: float, advantage: float) -> None:
    assert not Clip(0.25, 0.25, dual=3.0)(torch.tensor([[ratio]]), torch.tensor([[advantage]]))[1].item()


def test_the_low_and_the_high_bound_are_not_one_another() -> None:
    ratio = torch.tensor([[0.5, 1.5]])
    assert Clip(0.2, 0.28)(ratio, torch.ones(1, 2))[0].tolist()[0] == pytest.approx([-0.5, -1.28])
    assert Clip(0.2, 0.28)(ratio, -torch.ones(1, 2))[0].tolist()[0] == pytest.approx([0.8, 1.5])


@pytest.mark.parametrize(
    "build",
    [
        lambda: Clip(low=0.0, high=0.0),
        lambda: Clip(low=1.0),
        lambda: Clip(dual=1.0 + 1e-9),
        lambda: FixedLength(1),
        lambda: Kl(0.0),
    ],
)
def test_parameters_at_the_end_of_their_range_are_taken(build: Callable[[], object]) -> None:
    build()


def test_tokens_or_sequences_weigh_alike() -> None:
    """Two responses of 1 and 9 tokens: the short one has 1/10 of the loss, or 1/2."""
    mask = torch.arange(9) < torch.tensor([1, 9])[:, None]
    logp = torch.zeros(2, 9, requires_grad=True)
    batch = PolicyBatch(logp, torch.zeros(2, 9), torch.tensor([1.0, 0.0]), mask)
    assert PolicyObjective(reduce=TokenMean())(batch).loss.item() == pytest.approx(-1 / 10)
    assert PolicyObjective(reduce=SequenceMean())(batch).loss.item() == pytest.approx(-1 / 2)
    assert PolicyObjective(reduce=FixedLength(9))(batch).loss.item() == pytest.approx(-1 / 18)


def test_what_is_off_the_mask_cannot_poison_the_loss() -> None:
    batch = make(7)
    logp = batch.logp.detach().clone()
    logp[~batch.mask] = -torch.inf
    broken = PolicyBatch(logp.requires_grad_(), batch.old_logp, batch.advantages, batch.mask)
    for name in ("grpo", "gspo", "rloo", "dr_grpo"):
        assert OBJECTIVES[name](broken).loss.item() == OBJECTIVES[name](batch).loss.item()
        assert gradient(OBJECTIVES[name], broken).isfinite().all()


RATIOS = {"token": TokenRatio(), "sequence": SequenceRatio(), "whole": WholeSequenceRatio()}


@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize(
    ("nats", "exponent"), [(19.5, 19.5), (20.5, 20.0), (-19.5, -19.5), (-20.5, -20.0), (900.0, 20.0), (-900.0, -20.0)]
)
def test_a_ratio_is_bounded_by_twenty_nats_and_beyond_them_has_no_gradient(
    ratio: str, nats: float, exponent: float
) -> None:
    """Two tokens that moved by ``nats`` together, or each."""
    each = nats / 2 if ratio == "whole" else nats
    logp = torch.full((1, 2), each, dtype=torch.float64, requires_grad=True)
    batch = PolicyBatch(logp, torch.zeros(1, 2).double(), torch.ones(1).double(), torch.ones(1, 2).bool())
    found = RATIOS[ratio](batch)
    assert found.log().flatten().tolist() == pytest.approx([exponent] * found.numel(), rel=1e-12)
    slope = torch.autograd.grad(found.sum(), logp)[0]
    inside = found.detach() / (2 if ratio == "sequence" else 1)
    torch.testing.assert_close(slope, (inside if abs(nats) < 20 else torch.zeros_like(inside)).expand(1, 2))


@pytest.mark.parametrize(("nats", "exponent"), [(19.5, 19.5), (20.5, 20.0), (-19.5, -19.5), (-20.5, -20.0)])
def test_the_responses_ratio_behind_a_tokens_gradient_is_bounded_too(nats: float, exponent: float) -> None:
    logp = torch.full((1, 2), nats, dtype=torch.float64, requires_grad=True)
    batch = PolicyBatch(logp, torch.zeros(1, 2).double(), torch.ones(1).double(), torch.ones(1, 2).bool())
    found = SequenceTokenRatio()(batch)
    assert found.log().tolist()[0] == pytest.approx([exponent] * 2, rel=1e-12)
    torch.testing.assert_close(torch.autograd.grad(found.sum(), logp)[0], found.detach())


@pytest.mark.parametrize(
    ("nats", "exponent"), [(19.5, 19.5), (20.5, 20.0), (-19.5, -19.5), (-20.5, -20.0), (1e4, 20.0), (-1e4, -20.0)]
)
def test_k3_is_bounded_by_twenty_nats_and_beyond_them_has_no_gradient(nats: float, exponent: float) -> None:
    logp = torch.tensor([-nats], dtype=torch.float64, requires_grad=True)
    found = k3(logp, torch.zeros(1).double())
    assert found.item() == pytest.approx(math.exp(exponent) - exponent - 1, rel=1e-12)
    slope = torch.autograd.grad(found.sum(), logp)[0].item()
    assert slope == pytest.approx(1 - math.exp(nats) if abs(nats) < 20 else 0.0, rel=1e-9)


def test_k1_and_k2_by_hand() -> None:
    """The policy is surer by 3 nats: k1 = 3, k2 = 9 / 2, with the slopes 1 and 3."""
    for estimator, value, slope in ((k1, 3.0, 1.0), (k2, 4.5, 3.0), (k3, math.exp(-3) + 2, 1 - math.exp(-3))):
        logp = torch.tensor([-1.0], dtype=torch.float64, requires_grad=True)
        found = estimator(logp, torch.tensor([-4.0]).double())
        assert found.item() == pytest.approx(value)
        assert torch.autograd.grad(found.sum(), logp)[0].item() == pytest.approx(slope)


def test_an_extreme_ratio_stays_finite() -> None:
    logp = torch.zeros(1, 3, requires_grad=True)
    batch = PolicyBatch(logp, torch.full((1, 3), -1e4), torch.tensor([-1.0]), torch.ones(1, 3, dtype=torch.bool))
    for name in ("ppo, token mean", "gspo", "rloo"):
        assert OBJECTIVES[name](batch).loss.isfinite()


def test_token_advantages_and_sampler_weights() -> None:
    batch = make(8)
    spread = batch.advantages[:, None].expand_as(batch.logp)
    tokens = PolicyBatch(batch.logp, batch.old_logp, spread, batch.mask)
    torch.testing.assert_close(OBJECTIVES["grpo"](tokens).loss, OBJECTIVES["grpo"](batch).loss)
    weighted = PolicyBatch(
        batch.logp, batch.old_logp, batch.advantages, batch.mask, weights=torch.full_like(batch.logp, 0.5)
    )
    torch.testing.assert_close(OBJECTIVES["grpo"](weighted).loss, 0.5 * OBJECTIVES["grpo"](batch).loss)


def test_no_gradient_through_the_advantages() -> None:
    batch = make(9)
    advantages = batch.advantages.clone().requires_grad_()
    other = PolicyBatch(batch.logp, batch.old_logp, advantages, batch.mask)
    OBJECTIVES["grpo"](other).loss.backward()
    assert advantages.grad is None


def test_kl_estimators_on_a_known_pair() -> None:
    """E[k1] and E[k3] are the KL of two coins exactly; k2 is near it."""
    p, q = torch.tensor([0.7, 0.3], dtype=torch.float64), torch.tensor([0.6, 0.4], dtype=torch.float64)
    kl = (p * (p / q).log()).sum()
    torch.testing.assert_close((p * k1(p.log(), q.log())).sum(), kl)
    torch.testing.assert_close((p * k3(p.log(), q.log())).sum(), kl)
    torch.testing.assert_close((p * k2(p.log(), q.log())).sum(), kl, rtol=0.1, atol=0)
    assert (k3(p.log(), q.log()) > 0).all()


CLIPPED = [name for name in names("*", "advantage", "loss") if isinstance(create(name).objective, PolicyObjective)]


@pytest.mark.parametrize("name", [n for n in CLIPPED if isinstance(create(n).objective.surrogate, Clip)])
def test_the_gradient_of_every_method_pushes_up_what_is_better_than_its_peers(name: str) -> None:
    batch = make(10, shift=0.0)
    grad = gradient(create(name).objective, batch)
    assert (grad.sum(1) * batch.advantages <= 0).all()
    assert (grad[~batch.mask] == 0).all()


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Clip(low=1.0000001), "0 <= low <= 1"),
        (lambda: Clip(low=-1e-9), "0 <= low <= 1"),
        (lambda: Clip(high=-1e-9), "0 <= low <= 1 and high >= 0"),
        (lambda: Clip(dual=1.0), "dual clip must be above 1"),
        (lambda: FixedLength(0), "positive"),
        (lambda: Kl(-1.0), "not be negative"),
        (lambda: Kl(1.0, "k4"), "one of k1, k2, k3"),  # type: ignore[arg-type]
    ],
)
def test_parameters_outside_their_range(build: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build()  # type: ignore[operator]


def test_batches_that_do_not_fit() -> None:
    x, mask = torch.zeros(2, 3), torch.ones(2, 3, dtype=torch.bool)
    with pytest.raises(BatchError, match=r"old_logp must be \(2, 3\)"):
        PolicyBatch(x, torch.zeros(2, 4), torch.zeros(2), mask)
    with pytest.raises(BatchError, match="mask must be bool"):
        PolicyBatch(x, x, torch.zeros(2), mask.long())
    with pytest.raises(BatchError, match=r"advantages must be \[2\]"):
        PolicyBatch(x, x, torch.zeros(3), mask)
    with pytest.raises(BatchError, match="ref_logp"):
        PolicyObjective(penalties=(Kl(0.1),))(PolicyBatch(x, x, torch.zeros(2), mask))


def test_the_metrics_are_means_over_the_tokens_that_count() -> None:
    logp = torch.tensor([[1.1, 0.8, 3.0]]).log()
    batch = PolicyBatch(logp, torch.zeros(1, 3), torch.tensor([1.0]), torch.tensor([[True, True, False]]))
    metrics = {name: mean.value().item() for name, mean in PolicyObjective()(batch).metrics.items()}
    assert metrics == pytest.approx({"clipped": 0.0, "ratio": 0.95, "ratio_variance": 0.025})
    clipped = PolicyObjective(surrogate=Clip(0.2, 0.05))(batch).metrics["clipped"]
    assert clipped.value().item() == 0.5  # of two tokens: the third is off the mask
