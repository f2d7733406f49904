"""Losses over whole groups: values and gradients against slow loops, others' numbers, and what they converge to."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from concord import create
from concord.core.errors import BatchError, ConfigError
from concord.objectives import ContrastivePairs, GroupClassification, Kl, Objective, PolicyBatch, Totals
from tests.objectives.differences import assert_gradient, gradient

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "real.json").read_text())
GROUPS = [7, 2, 7, 7, 2, 9, 7, 5, 5]
OBJECTIVES: dict[str, Objective] = {
    "real": GroupClassification(0.5),
    "copg": ContrastivePairs(0.3),
    "real with kl": GroupClassification(0.7, (Kl(0.2),)),
    "copg with kl": ContrastivePairs(0.2, (Kl(0.2),)),
}


def make(seed: int = 0, width: int = 5) -> PolicyBatch:
    """Ragged, interleaved groups of 4, 2, 2 and 1; one response without an advantage."""
    g, rows = torch.Generator().manual_seed(seed), len(GROUPS)
    logp = -torch.rand(rows, width, generator=g, dtype=torch.float64)
    noise = torch.randn(2, rows, width, generator=g, dtype=torch.float64)
    advantages = torch.randn(rows, generator=g, dtype=torch.float64)
    advantages[3] = 0
    advantages[7:] = torch.tensor([1.0, -0.5])
    lengths = torch.randint(1, width + 1, (rows,), generator=g)
    return PolicyBatch(
        logp.requires_grad_(),
        logp.detach() + 0.5 * noise[0],
        advantages,
        torch.arange(width) < lengths[:, None],
        logp.detach() + 0.3 * noise[1],
        groups=torch.tensor(GROUPS),
    )


def part_of(batch: PolicyBatch, rows: Any, logp: torch.Tensor | None = None) -> PolicyBatch:
    assert batch.ref_logp is not None
    assert batch.groups is not None
    logp = batch.logp[rows] if logp is None else logp[rows]
    return PolicyBatch(
        logp, batch.old_logp[rows], batch.advantages[rows], batch.mask[rows], batch.ref_logp[rows],
        groups=batch.groups[rows],
    )  # fmt: skip


def slow(name: str, batch: PolicyBatch) -> float:
    """In loops over groups, responses and pairs; a group of n responses weighs n where they are averaged."""
    objective: Any = OBJECTIVES[name]
    assert batch.ref_logp is not None
    total, numbers = 0.0, batch.groups.tolist()  # type: ignore[union-attr]
    steps = [[t for t, on in enumerate(row) if on] for row in batch.mask.tolist()]

    def over(i: int, other: torch.Tensor) -> float:
        return sum((batch.logp[i, t] - other[i, t]).item() for t in steps[i])

    for p in dict.fromkeys(numbers):
        rows = [i for i, number in enumerate(numbers) if number == p]
        A = {i: batch.advantages[i].item() for i in rows}
        if name.startswith("real"):
            s = {i: over(i, batch.old_logp) / len(steps[i]) for i in rows}
            good = sum(math.exp(-s[i] / objective.tau) for i in rows if A[i] > 0)
            bad = sum(math.exp(s[i] / objective.tau) for i in rows if A[i] < 0)
            total += len(rows) * (math.log(1 + good) + math.log(1 + bad)) if good and bad else 0.0
        else:
            x = {i: A[i] - objective.beta * over(i, batch.ref_logp) for i in rows}
            pairs = sum((x[i] - x[j]) ** 2 for i, j in itertools.combinations(rows, 2))
            total += pairs / (2 * objective.beta * max(len(rows) - 1, 1))
    total /= len(numbers)
    if "kl" in name:
        for i, t in ((i, t) for i, row in enumerate(steps) for t in row):
            d = (batch.ref_logp[i, t] - batch.logp[i, t]).item()
            total += 0.2 * (math.exp(d) - d - 1) / int(batch.mask.sum())
    return total


@pytest.mark.parametrize("name", OBJECTIVES)
@pytest.mark.parametrize("seed", range(4))
def test_value(name: str, seed: int) -> None:
    batch = make(seed)
    assert OBJECTIVES[name](batch).loss.item() == pytest.approx(slow(name, batch), rel=1e-12)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_gradient_is_that_of_the_slow_loss(name: str) -> None:
    batch = make(3)
    assert_gradient(OBJECTIVES[name], batch, lambda logp: slow(name, part_of(batch, slice(None), logp)), tolerance=1e-6)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_micro_batches_of_whole_groups_add_up(name: str) -> None:
    batch, totals = make(4), Totals.of(make(4).mask)
    whole, total, pieces = OBJECTIVES[name](batch), 0.0, torch.zeros_like(batch.logp)
    for numbers in ([7], [2, 9], [5]):
        rows = [i for i, number in enumerate(GROUPS) if number in numbers]
        part = OBJECTIVES[name](part_of(batch, rows), totals)
        total += part.loss.item()
        pieces += torch.autograd.grad(part.loss, batch.logp)[0]
    assert total == pytest.approx(whole.loss.item(), rel=1e-12)
    torch.testing.assert_close(pieces, gradient(OBJECTIVES[name], batch), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_response_alone_and_one_without_tokens_have_a_finite_loss_and_gradient(name: str) -> None:
    batch = make(1)
    batch.mask[:2] = False
    logp = batch.logp.detach().clone()
    logp[~batch.mask] = -torch.inf
    for rows in (slice(None), [5], [0]):
        leaf = logp.clone().requires_grad_()
        loss = OBJECTIVES[name](part_of(batch, rows, leaf)).loss
        assert loss.isfinite()
        assert torch.autograd.grad(loss, leaf)[0][batch.mask].isfinite().all()
    if "kl" not in name:
        assert OBJECTIVES[name](part_of(batch, [5])).loss.item() == 0.0


@pytest.mark.parametrize("name", OBJECTIVES)
def test_what_they_need_is_said(name: str) -> None:
    batch = make()
    with pytest.raises(BatchError, match="needs groups"):
        OBJECTIVES[name](PolicyBatch(batch.logp, batch.old_logp, batch.advantages, batch.mask, batch.ref_logp))
    wide = batch.advantages[:, None].expand_as(batch.logp)
    with pytest.raises(BatchError, match=r"needs advantages \[rollouts\], got \(9, 5\)"):
        OBJECTIVES[name](PolicyBatch(batch.logp, batch.old_logp, wide, batch.mask, batch.ref_logp, groups=batch.groups))


# ---- REAL ----


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=range(len(GOLDEN["cases"])))
def test_the_classification_is_ms_swifts(case: dict[str, Any]) -> None:
    logp = torch.tensor(case["logp"], requires_grad=True)
    rewards = torch.tensor(case["rewards"]).view(-1, case["size"])
    objective: Objective = create("real", tau=case["tau"]).objective
    if case["beta"]:
        objective = objective.with_penalty(Kl(case["beta"]))
    batch = PolicyBatch(
        logp,
        torch.tensor(case["old_logp"]),
        (rewards - rewards.mean(1, keepdim=True)).flatten(),
        torch.arange(logp.shape[1]) < torch.tensor(case["lengths"])[:, None],
        torch.tensor(case["ref_logp"]),
        groups=torch.arange(len(rewards)).repeat_interleave(case["size"]),
    )
    loss = objective(batch).loss
    assert loss.item() == pytest.approx(case["loss"], abs=1e-6)
    torch.testing.assert_close(torch.autograd.grad(loss, logp)[0], torch.tensor(case["grad"]), rtol=0, atol=1e-6)


@pytest.mark.parametrize("tau", [0.2, 1.0])
def test_on_policy_each_labels_gradient_is_shared_and_far_from_it_bounded(tau: float) -> None:
    """At s = 0: -(1/tau) / (1 + good) for the good, (1/tau) / (1 + bad) for the bad; never more than 1/tau."""
    A = torch.tensor([1.0, 1.0, -1.0, 2.0, -3.0, 0.0], dtype=torch.float64)
    slopes = {}
    for shift in (0.0, 50.0, -50.0):
        logp = torch.full((6, 1), shift, dtype=torch.float64, requires_grad=True)
        batch = PolicyBatch(
            logp, torch.zeros(6, 1).double(), A, torch.ones(6, 1).bool(), groups=torch.zeros(6, dtype=torch.long)
        )
        slopes[shift] = gradient(GroupClassification(tau), batch)[:, 0]
        assert (slopes[shift].abs() <= 1 / tau + 1e-12).all()
    want = torch.tensor([-1 / 4, -1 / 4, 1 / 3, -1 / 4, 1 / 3, 0.0], dtype=torch.float64) / tau
    torch.testing.assert_close(slopes[0.0], want)
    assert slopes[50.0][0].abs() < 1e-9 < slopes[50.0][2]
    assert slopes[-50.0][2].abs() < 1e-9 < -slopes[-50.0][0]


def test_groups_with_one_label_have_no_loss_and_stay_in_the_mean() -> None:
    batch = make(2)
    batch.advantages[7:] = 1.0
    rest = part_of(batch, slice(0, 7))
    both = GroupClassification()(batch).loss.item()
    assert both == pytest.approx(GroupClassification()(rest).loss.item() * 7 / 9)
    assert GroupClassification()(part_of(batch, slice(7, 9))).loss.item() == 0.0
    assert not GroupClassification().every_row


# ---- CoPG ----


def test_its_gradient_is_leave_one_out_with_the_kl_inside_the_reward() -> None:
    batch, beta = make(5), 0.3
    assert batch.ref_logp is not None
    x = batch.advantages - beta * torch.where(batch.mask, batch.logp - batch.ref_logp, 0).sum(1).detach()
    want = torch.zeros_like(batch.logp)
    for i, number in enumerate(GROUPS):
        others = [x[j] for j, other in enumerate(GROUPS) if other == number and j != i]
        if others:
            want[i] = torch.where(batch.mask[i], -(x[i] - torch.stack(others).mean()) / len(GROUPS), 0)
    torch.testing.assert_close(gradient(ContrastivePairs(beta), batch), want)


def test_a_number_added_to_all_rewards_of_a_prompt_changes_nothing() -> None:
    batch = make(6)
    shift = {7: 3.0, 2: -1.0, 9: 0.5, 5: 10.0}
    moved = batch.advantages + torch.tensor([shift[number] for number in GROUPS], dtype=torch.float64)
    other = PolicyBatch(batch.logp, batch.old_logp, moved, batch.mask, batch.ref_logp, groups=batch.groups)
    torch.testing.assert_close(gradient(ContrastivePairs(0.3), other), gradient(ContrastivePairs(0.3), batch))


def test_off_policy_it_converges_to_the_reference_tilted_by_the_reward() -> None:
    """A bandit of four arms; the responses are all four, however unlikely the policy holds them to be."""
    rewards = torch.tensor([0.1, 0.7, -0.4, 0.3], dtype=torch.float64)
    ref = torch.tensor([0.4, 0.1, 0.3, 0.2], dtype=torch.float64).log()
    logits = torch.tensor([2.0, -1.0, 0.0, 1.0], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([logits], max_iter=100, tolerance_grad=1e-10, tolerance_change=1e-14)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        logp = logits.log_softmax(0)[:, None]
        batch = PolicyBatch(
            logp, logp.detach(), rewards, torch.ones(4, 1).bool(), ref[:, None], groups=torch.zeros(4, dtype=torch.long)
        )
        loss: torch.Tensor = ContrastivePairs(0.5)(batch).loss
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    torch.testing.assert_close(logits.softmax(0), (ref + rewards / 0.5).softmax(0), rtol=0, atol=1e-6)


def test_it_needs_a_reference_and_a_positive_beta() -> None:
    batch = make()
    assert ContrastivePairs(0.1).needs_reference
    assert ContrastivePairs(0.1).every_row
    with pytest.raises(BatchError, match="needs ref_logp"):
        ContrastivePairs(0.1)(
            PolicyBatch(batch.logp, batch.old_logp, batch.advantages, batch.mask, groups=batch.groups)
        )
    with pytest.raises(ConfigError, match="beta must be positive"):
        ContrastivePairs(0.0)
    with pytest.raises(ConfigError, match="tau must be positive"):
        GroupClassification(0.0)


def four(advantages: list[float], moved: list[float], groups: list[int]) -> PolicyBatch:
    """Responses of two tokens, of which each moved by so many nats since sampling, and from the reference."""
    zeros, mask = torch.zeros(len(moved), 3, dtype=torch.float64), torch.tensor([True, True, False])
    logp = torch.tensor(moved, dtype=torch.float64)[:, None].expand(-1, 3).clone().requires_grad_()
    told = torch.tensor(advantages, dtype=torch.float64)
    return PolicyBatch(logp, zeros, told, mask.expand(len(moved), 3), zeros, groups=torch.tensor(groups))


@pytest.mark.parametrize(
    ("advantages", "labelled"),
    [([1.0, -1.0, 1.0, 1.0], 2 / 4), ([1.0, 0.0, -1.0, 0.0], 0.0), ([1.0, -1.0, 1e-9, -1e-9], 1.0)],
)
def test_the_labels_of_a_group_are_counted_and_the_scores_meaned(advantages: list[float], labelled: float) -> None:
    metrics = GroupClassification(0.5)(four(advantages, [0.5, -0.1, 0.2, 1.0], [0, 0, 1, 1])).metrics
    assert {name: mean.value().item() for name, mean in metrics.items()} == pytest.approx(
        {"labelled": labelled, "score": 0.4}
    )


def test_the_gap_and_the_drift_of_contrastive_pairs_by_hand() -> None:
    """In sums of two tokens u = 1, -0.2, 0.4, 2; x = A - u / 2 = 0.5, -0.9, 0.8, 1, of means -0.2 and 0.9."""
    metrics = ContrastivePairs(0.5)(four([1.0, -1.0, 1.0, 2.0], [0.5, -0.1, 0.2, 1.0], [0, 0, 1, 1])).metrics
    assert {name: mean.value().item() for name, mean in metrics.items()} == pytest.approx(
        {"squared_gap": (2 * 0.7**2 + 2 * 0.1**2) / 4, "drift": 3.2 / 4}
    )
