"""P3O's joint clip: value and gradient against slow loops over pairs, and where a pair stops."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

import concord.objectives as objectives
from concord import Groups, Rollouts, create
from concord.core.errors import BatchError, ConfigError
from concord.objectives import ContrastivePairs, GroupClassification, JointPairClip, Kl, PolicyBatch, Totals
from tests.objectives.differences import assert_gradient, gradient
from tests.objectives.test_whole_groups import GROUPS, make, part_of

JOINT = JointPairClip(0.2)


def slow(batch: PolicyBatch, logp: torch.Tensor, clip: float) -> float:
    """The loss at ``logp``, the pairs' weights held where the batch has them."""
    total, numbers = 0.0, batch.groups.tolist()  # type: ignore[union-attr]

    def moved(i: int, at: torch.Tensor) -> float:
        return sum((at[i, t] - batch.old_logp[i, t]).item() for t in range(at.shape[1]) if batch.mask[i, t])

    for i, number in enumerate(numbers):
        others = [j for j, other in enumerate(numbers) if other == number and j != i]
        for j in others:
            d = (batch.advantages[i] - batch.advantages[j]).item() / 2
            L = moved(i, logp) - moved(j, logp)
            clipped = min(L, math.log(1 + clip)) if d > 0 else max(L, -math.log(1 + clip))
            weight = math.exp(moved(i, batch.logp)) * math.exp(moved(j, batch.logp))
            total -= weight * min(d * L, d * clipped) / len(others) / len(numbers)
    return total


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("clip", [0.05, 0.2, 3.0])
def test_value(seed: int, clip: float) -> None:
    batch = make(seed)
    assert JointPairClip(clip)(batch).loss.item() == pytest.approx(slow(batch, batch.logp, clip), rel=1e-12)


@pytest.mark.parametrize("clip", [0.2, 3.0])
def test_gradient_is_that_of_the_slow_loss(clip: float) -> None:
    batch = make(3)
    assert_gradient(JointPairClip(clip), batch, lambda logp: slow(batch, logp, clip))


def test_on_policy_its_value_is_0_and_its_gradient_leave_one_outs() -> None:
    batch = make(5)
    batch = PolicyBatch(batch.logp, batch.logp.detach(), batch.advantages, batch.mask, groups=batch.groups)
    assert JOINT(batch).loss.item() == 0.0
    want = torch.zeros_like(batch.logp)
    for i, number in enumerate(GROUPS):
        others = [batch.advantages[j] for j, other in enumerate(GROUPS) if other == number and j != i]
        if others:
            push = batch.advantages[i] - torch.stack(others).mean()
            want[i] = torch.where(batch.mask[i], -push / len(GROUPS), 0)
    torch.testing.assert_close(gradient(JOINT, batch), want, rtol=1e-12, atol=1e-15)


def pair(better: float, worse: float) -> PolicyBatch:
    """Two responses of a token, of advantages 1 and -1, with these log ratios."""
    logp = torch.tensor([[better], [worse]], dtype=torch.float64, requires_grad=True)
    A = torch.tensor([1.0, -1.0], dtype=torch.float64)
    return PolicyBatch(logp, torch.zeros(2, 1).double(), A, torch.ones(2, 1).bool(), groups=torch.zeros(2).long())


BOUND = math.log(1.2)


@pytest.mark.parametrize("at", [(BOUND + 1e-9, 0.0), (0.0, -BOUND - 1e-9), (BOUND, -BOUND), (3.0, 1.0), (-1.0, -3.0)])
def test_beyond_the_bound_a_pair_is_silent_whichever_of_the_two_has_moved(at: tuple[float, float]) -> None:
    batch = pair(*at)
    assert gradient(JOINT, batch).tolist() == [[0.0], [0.0]]
    assert JOINT(batch).metrics["clipped"].value().item() == 1.0


@pytest.mark.parametrize("at", [(0.0, 0.0), (BOUND - 1e-9, 0.0), (1.0, 0.9), (-0.9, -1.0), (-2.0, 0.5), (0.0, 3.0)])
def test_inside_it_and_where_the_worse_one_is_ahead_it_pushes_by_how_likely_the_pair_is_now(
    at: tuple[float, float],
) -> None:
    """Also where both have moved far, together: p3o has clipped either of them by then."""
    batch, weight = pair(*at), math.exp(sum(at))
    torch.testing.assert_close(gradient(JOINT, batch), torch.tensor([[-weight], [weight]]).double())
    metrics = JOINT(batch).metrics
    assert metrics["clipped"].value().item() == 0.0
    assert metrics["ahead"].value().item() == pytest.approx(at[0] - at[1])


def test_a_number_added_to_all_rewards_of_a_prompt_changes_no_bit() -> None:
    batch, method = make(6), create("p3o_joint")
    groups = Groups.of(GROUPS)
    rewards = (batch.advantages * 64).round() / 64
    shift = torch.tensor([{7: 3.0, 2: -1.5, 9: 0.5, 5: 1024.0}[number] for number in GROUPS], dtype=torch.float64)
    found = []
    for r in (rewards, rewards + shift):
        advantages = method.signal(Rollouts(r[:, None], groups, ("r",))).push.advantages
        other = PolicyBatch(batch.logp, batch.old_logp, advantages, batch.mask, groups=batch.groups)
        found.append((method.objective(other).loss, gradient(method.objective, other)))
    assert torch.equal(found[0][0], found[1][0])
    assert torch.equal(found[0][1], found[1][1])


def test_a_group_whose_advantages_are_equal_and_a_response_alone_have_no_loss() -> None:
    batch = make(2)
    flat = PolicyBatch(batch.logp, batch.old_logp, torch.ones(9).double(), batch.mask, groups=batch.groups)
    for silent in (flat, part_of(batch, [5])):
        result = JOINT(silent)
        assert result.loss.item() == 0.0
        assert (torch.autograd.grad(result.loss, batch.logp)[0] == 0).all()
        assert all(metric.value().isfinite() for metric in result.metrics.values())


def test_micro_batches_of_whole_groups_add_up() -> None:
    batch, totals = make(4), Totals.of(make(4).mask)
    objective = JointPairClip(0.2, (Kl(0.3),))
    total, pieces = 0.0, torch.zeros_like(batch.logp)
    for numbers in ([7], [2, 9], [5]):
        part = objective(part_of(batch, [i for i, number in enumerate(GROUPS) if number in numbers]), totals)
        total += part.loss.item()
        pieces += torch.autograd.grad(part.loss, batch.logp)[0]
    assert total == pytest.approx(objective(batch).loss.item(), rel=1e-12)
    torch.testing.assert_close(pieces, gradient(objective, batch), rtol=1e-12, atol=1e-15)


def test_what_is_off_the_mask_and_ratios_out_of_hand_do_not_poison_it() -> None:
    batch = make(1)
    batch.mask[:2] = False
    logp = batch.logp.detach().clone()
    logp[~batch.mask] = -torch.inf
    logp[3] += 400.0
    leaf = logp.requires_grad_()
    loss = JOINT(part_of(batch, slice(None), leaf)).loss
    assert loss.isfinite()
    assert torch.autograd.grad(loss, leaf)[0][batch.mask].isfinite().all()


def test_what_it_needs_is_said() -> None:
    batch = make()
    with pytest.raises(BatchError, match="needs groups"):
        JOINT(PolicyBatch(batch.logp, batch.old_logp, batch.advantages, batch.mask))
    for clip in (0.0, -0.2, math.nan):
        with pytest.raises(ConfigError, match="clip must be positive"):
            JointPairClip(clip)


@pytest.mark.parametrize("objective", [JointPairClip(0.3), GroupClassification(0.7), ContrastivePairs(0.1)])
def test_losses_over_whole_groups_answer_an_engine_alike(objective: Any) -> None:
    more = objective.with_penalty(Kl(0.2))
    assert type(more) is type(objective)
    assert more.penalties == (Kl(0.2),)
    assert more != objective
    assert more.with_penalty(Kl(0.1)).penalties == (Kl(0.2), Kl(0.1))
    assert eval(repr(more), vars(objectives)) == more
    assert objective.whole_groups
    assert objective.reads == objective.statistics == frozenset()
    assert more.needs_reference
    assert objective.needs_reference == isinstance(objective, ContrastivePairs)
    assert objective.every_row == (not isinstance(objective, GroupClassification))
    assert more.every_row
