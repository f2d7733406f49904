"""What the methods with a loss of their own have to do with others, and with their authors' numbers."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from concord import Groups, Rollouts, create
from concord.core.errors import BatchError, ConfigError
from concord.objectives import Objective, PolicyBatch, PolicyObjective
from concord.stages import BoundedTarget, ReweightDominantTokens, SoftenSharedTokens
from tests.batches import make_batch

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "gbpo.json").read_text())


def rewarded(*groups: list[float], **columns: torch.Tensor) -> Rollouts:
    ids = [p for p, group in enumerate(groups) for _ in group]
    rewards = torch.tensor([[value] for group in groups for value in group], dtype=torch.float64)
    return Rollouts(rewards, Groups.of(ids), ("r",), columns)


# ---- GBPO ----


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=range(len(GOLDEN["cases"])))
def test_advantages_targets_and_loss_are_the_authors(case: dict[str, Any]) -> None:
    method = create("gbpo", low=case["low"], high=case["high"], temperature=case["temperature"])
    batch = Rollouts(torch.tensor(case["rewards"])[:, None], Groups.of(case["groups"]), ("r",))
    outcome = method.signal(batch)
    torch.testing.assert_close(outcome.advantages, torch.tensor(case["advantages"]), rtol=0, atol=2e-6)
    live = outcome.advantages != 0  # of a group that says nothing the target does not matter
    torch.testing.assert_close(outcome.columns["target"][live], torch.tensor(case["target"])[live], rtol=0, atol=2e-6)
    logp = torch.tensor(case["logp"], requires_grad=True)
    mask = torch.arange(logp.shape[1]) < torch.tensor(case["lengths"])[:, None]
    push = outcome.push
    loss = method.objective(
        PolicyBatch(logp, torch.tensor(case["old_logp"]), push.advantages, mask, columns=push.columns)
    ).loss
    assert loss.item() == pytest.approx(case["loss"], abs=1e-6)
    torch.testing.assert_close(torch.autograd.grad(loss, logp)[0], torch.tensor(case["grad"]), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("rewards", "targets"),
    [
        ([1, 0, 0, 0, 0], [1.4, 1.05, 1.05, 1.05, 1.05]),  # the minority is right: up it goes, the median hardly
        ([1, 1, 1, 0], [1.05, 1.05, 1.05, 0.7]),  # the majority is right: only the wrong ones go down
        ([1, 1, 0, 0], [1.4, 1.4, 0.7, 0.7]),  # even: the median lies between
        ([3, 1, 2], [1.4, 0.7, 1.05]),
        ([0.5, 0.5, 0.5], [1.05] * 3),
        ([2.0], [1.05]),
    ],
)
def test_at_a_low_temperature_the_target_says_on_which_side_of_the_median(
    rewards: list[float], targets: list[float]
) -> None:
    found = create("gbpo", low=0.3, high=0.4).signal(rewarded([0.0, 9.0], rewards)).columns["target"]
    assert found[2:].tolist() == pytest.approx(targets)


def test_the_target_of_a_rollout_that_was_not_scored_is_to_stay() -> None:
    outcome = create("gbpo").signal(rewarded([1.0, float("nan"), 0.0, 0.0]))
    assert outcome.columns["target"].tolist() == pytest.approx([1.3, 1.0, 1.0, 1.0])
    assert outcome.keep.tolist() == [True, False, True, True]


@pytest.mark.parametrize(
    ("changes", "message"), [({"low": 1.5}, "0 <= low <= 1"), ({"temperature": 0.0}, "temperature must be positive")]
)
def test_a_target_outside_its_range_is_refused(changes: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        create("gbpo", **changes)


@pytest.mark.parametrize("stage", [BoundedTarget(), SoftenSharedTokens(), ReweightDominantTokens()])
def test_stages_for_one_channel_say_so(stage: Any) -> None:
    batch, _ = make_batch()
    chain = create("gbpo").signal.without("sum").replace("bounded_target", stage)
    with pytest.raises(BatchError, match=r"this signal has \('r0', 'r1', 'r2'\)"):
        chain(batch)


# ---- P3O ----


def test_p3o_is_rloo_with_a_ratio_a_response() -> None:
    pairs, other = create("p3o", clip=0.1), create("rloo", clip=0.1, numerics="trl")
    assert pairs.objective == other.objective
    batch, _ = make_batch(missing=0.2)
    assert torch.equal(pairs.signal(batch).advantages, other.signal(batch).advantages)


def test_a_pairs_loss_is_half_its_rewards_gap_times_that_of_the_ratios() -> None:
    logp = torch.tensor([[-1.0, -0.4], [-0.5, -2.0]], dtype=torch.float64)
    old = torch.tensor([[-1.01, -0.39], [-0.52, -1.99]], dtype=torch.float64)
    method = create("p3o")
    advantages = method.signal(rewarded([2.0, 0.5])).advantages
    loss = method.objective(PolicyBatch(logp, old, advantages, torch.ones(2, 2).bool())).loss
    first, second = (logp - old).sum(1).exp().tolist()
    assert loss.item() == pytest.approx(-(1.5 / 2) * (first - second))


@pytest.mark.parametrize("name", ["p3o", "p3o_joint"])
def test_over_all_pairs_of_a_bandit_its_gradient_is_the_policy_gradient_off_policy(name: str) -> None:
    """Enumerated: pairs of two arms weighed by the probability that the sampling policy drew them."""
    rewards = torch.tensor([0.3, -1.0, 2.0], dtype=torch.float64)
    logits = torch.tensor([0.1, 0.8, -0.5], dtype=torch.float64, requires_grad=True)
    old = torch.tensor([0.1, 0.7, -0.45], dtype=torch.float64).log_softmax(0)
    logp = logits.log_softmax(0)
    want = torch.autograd.grad(-(logp.exp() * rewards).sum(), logits, retain_graph=True)[0]
    method, total = create(name, clip=0.9), torch.zeros((), dtype=torch.float64)
    groups = torch.zeros(2, dtype=torch.long)
    for i, j in itertools.product(range(3), repeat=2):
        advantages = method.signal(rewarded([rewards[i].item(), rewards[j].item()])).advantages
        places = torch.tensor([i, j])
        mask = torch.ones(2, 1).bool()
        batch = PolicyBatch(logp[places][:, None], old[places][:, None], advantages, mask, groups=groups)
        total = total + (old[i] + old[j]).exp() * method.objective(batch).loss
    torch.testing.assert_close(torch.autograd.grad(total, logits)[0], want)


@pytest.mark.parametrize("rewards", [[2.0, 0.5], [1.0, 0.0, 0.0, 3.0, -1.0], [0.7, 0.7, 0.7], [4.0]])
def test_on_policy_the_joint_clip_has_p3os_gradient(rewards: list[float]) -> None:
    logp = -torch.rand(len(rewards), 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    groups, mask, found = torch.zeros(len(rewards), dtype=torch.long), torch.ones_like(logp).bool(), []
    for name in ("p3o", "p3o_joint"):
        method, leaf = create(name), logp.clone().requires_grad_()
        advantages = method.signal(rewarded(rewards)).advantages
        loss = method.objective(PolicyBatch(leaf, logp, advantages, mask, groups=groups)).loss
        found.append(torch.autograd.grad(loss, leaf)[0])
    torch.testing.assert_close(*found, rtol=1e-12, atol=1e-15)


# ---- The others ----


ALIKE = [
    ("r2vpo", "grpo"), ("dhpo", "gspo"), ("dhpo", "grpo"), ("dhpo_entropy", "dhpo"), ("nthr", "grpo"), ("rapo", "grpo"),
    ("thr", "grpo"), ("r2vpo_dual", "r2vpo"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "like"), ALIKE)
@pytest.mark.parametrize("numerics", ["verl", "trl"])
def test_they_start_from_grpos_advantage(name: str, like: str, numerics: str) -> None:
    batch, _ = make_batch(missing=0.1)
    weights = {"r1": 0.5}
    one, other = (create(n, weights=weights, numerics=numerics).signal(batch).advantages for n in (name, like))
    assert torch.equal(one, other)


def micro_batch(shift: float = 0.001, **parts: torch.Tensor) -> PolicyBatch:
    g = torch.Generator().manual_seed(3)
    logp = -torch.rand(5, 6, generator=g, dtype=torch.float64)
    old = logp + shift * torch.randn(5, 6, generator=g, dtype=torch.float64)
    advantages, mask = torch.randn(5, generator=g).double(), torch.rand(5, 6, generator=g) > 0.2
    return PolicyBatch(logp.requires_grad_(), old, advantages, mask, **parts)


def loss_and_gradient(objective: Objective, batch: PolicyBatch) -> tuple[torch.Tensor, torch.Tensor]:
    loss = objective(batch).loss
    return loss.detach(), torch.autograd.grad(loss, batch.logp)[0]


@pytest.mark.parametrize(("weight", "like"), [(1.0, "grpo"), (0.0, "gspo")])
def test_dhpo_at_its_ends(weight: float, like: str) -> None:
    batch = micro_batch()
    one = create("dhpo", weight=weight).objective(batch).loss
    torch.testing.assert_close(one, create(like, numerics="trl").objective(batch).loss)


@pytest.mark.parametrize(("entropy", "like"), [(0.7, "grpo"), (0.0, "gspo")])
def test_dhpo_where_all_tokens_are_as_undecided(entropy: float, like: str) -> None:
    batch = micro_batch(entropy=torch.full((5, 6), entropy, dtype=torch.float64))
    one, other = (create(name, numerics="trl").objective for name in ("dhpo_entropy", like))
    torch.testing.assert_close(loss_and_gradient(one, batch), loss_and_gradient(other, batch), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("numerics", ["verl", "trl"])
def test_rapo_without_its_penalties_is_grpo(numerics: str) -> None:
    batch = micro_batch(0.5, ref_logp=-torch.ones(5, 6, dtype=torch.float64))
    one = create("rapo", beta=0.0, entropy=0.0, numerics=numerics).objective
    other = create("grpo", numerics=numerics).objective
    assert isinstance(one, PolicyObjective)
    assert isinstance(other, PolicyObjective)
    assert one.surrogate == other.surrogate  # the dual clip too, which this batch does not reach
    torch.testing.assert_close(loss_and_gradient(one, batch), loss_and_gradient(other, batch), rtol=1e-12, atol=1e-15)


def test_rapo_adds_to_grpo_what_its_penalties_are_in_a_slow_loop() -> None:
    ref = -torch.rand(5, 6, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    batch = micro_batch(0.5, ref_logp=ref)
    want = create("grpo").objective(batch).loss.item()
    for i, row in enumerate(batch.mask.tolist()):
        steps = [t for t, on in enumerate(row) if on]
        for t in steps:
            logp, old = batch.logp[i, t].item(), batch.old_logp[i, t].item()
            u = math.exp(ref[i, t].item() - logp)
            penalty = 0.3 * (u * math.log(u) - u + 1) + 0.2 * math.exp(logp - old) * logp
            want += penalty / len(steps) / len(batch.mask)
    rapo = create("rapo", beta=0.3, entropy=0.2).objective
    assert rapo(batch).loss.item() == pytest.approx(want, rel=1e-12)
    assert rapo.needs_reference
    assert rapo.every_row


def test_real_reads_signs_so_the_size_of_rewards_does_not_matter() -> None:
    small, large = (create("real").signal(rewarded([0.0, scale, 0.0, scale])).advantages for scale in (0.5, 80.0))
    torch.testing.assert_close(small.sign(), large.sign())


# ---- NTHR ----


def softened(rewards: list[float], scores: list[list[float]], beta: float = 1.0) -> list[list[float]]:
    mask = torch.tensor([[value == value for value in row] for row in scores])
    columns = {"token_scores": torch.tensor(scores, dtype=torch.float64).nan_to_num(9.0), "response_mask": mask}
    outcome = create("nthr", beta=beta).signal(rewarded(rewards, **columns))
    assert outcome.token_advantages is not None
    share = outcome.token_advantages / torch.where(outcome.advantages == 0, 1, outcome.advantages)[:, None]
    return [[round(value, 9) for value in row] for row in share.tolist()]


NONE = float("nan")


def test_tokens_of_bad_responses_that_good_ones_share_are_pushed_less() -> None:
    """One of four is right: eta = 2 |0.5 - 0.25| = 0.5; the limit is the mean over its two tokens, 2."""
    scores = [[1.0, 3.0, NONE], [2.5, 2.0, 1.0], [-4.0, 7.0, NONE], [0.0, NONE, NONE]]
    assert softened([1, 0, 0, 0], scores) == [[1, 1, 0], [0.5, 1, 1], [1, 0.5, 0], [1, 0, 0]]
    assert softened([1, 0, 0, 0], scores, beta=3.0) == [[1, 1, 0], [1, 1, 1], [1, 0.5, 0], [1, 0, 0]]


def test_the_lowest_of_the_good_responses_means_is_the_limit_and_half_and_half_is_silent_above_it() -> None:
    scores = [[4.0, 4.0], [1.0, 1.0], [2.0, 0.5], [3.0, -1.0]]
    assert softened([1, 1, 0, 0], scores) == [[1, 1], [1, 1], [0, 1], [0, 1]]


def test_with_one_label_nothing_is_told_apart() -> None:
    assert softened([1, 1], [[5.0, 5.0], [0.0, 9.0]]) == [[0, 0], [0, 0]]


@pytest.mark.parametrize("seed", range(3))
def test_the_rule_equals_its_loop_on_ragged_interleaved_groups(seed: int) -> None:
    batch, ids = make_batch(seed, missing=0.1)
    outcome = create("nthr").signal(batch)
    scores, mask = batch.columns["token_scores"], batch.columns["response_mask"]
    A = outcome.advantages.tolist()
    assert outcome.token_advantages is not None
    for n, number in enumerate(ids):
        peers = [m for m, other in enumerate(ids) if other == number]
        good, bad = [m for m in peers if A[m] > 0], [m for m in peers if A[m] < 0]
        limit = min((scores[m][mask[m]].mean().item() for m in good), default=float("inf"))
        eta = 2 * abs(0.5 - len(good) / max(1, len(good) + len(bad)))
        for t in range(scores.shape[1]):
            soft = A[n] < 0 and scores[n, t].item() > limit
            want = A[n] * (eta if soft else 1.0) if mask[n, t] else 0.0
            assert outcome.token_advantages[n, t].item() == pytest.approx(want)


def test_columns_of_two_widths_are_refused() -> None:
    columns = {"token_scores": torch.zeros(2, 3), "response_mask": torch.ones(2, 4).bool()}
    with pytest.raises(BatchError, match=r"token_scores are \(2, 3\), response_mask \(2, 4\)"):
        create("nthr").signal(rewarded([1.0, 0.0], **columns))
    with pytest.raises(ConfigError, match="beta must not be negative"):
        create("nthr", beta=-1.0)
