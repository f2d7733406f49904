"""What BNPO, ADORA, RiskPO, group CVaR, COPO and DCPO are to other methods, and to numbers found by hand."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from concord import Groups, Rollouts, create
from concord.stages import BundleRisk
from tests.batches import make_batch
from tests.methods.oracles.advantages import adora_llm, risk_po_easy
from tests.methods.test_oracles import compare


def advantages(batch: Rollouts, name: str, **parameters: object) -> Tensor:
    return create(name, **parameters).signal(batch).advantages


def rollouts(rows: list[list[float]], **columns: Tensor) -> Rollouts:
    """Groups of one size, one reward, float64."""
    rewards = torch.tensor(rows, dtype=torch.float64)
    return Rollouts(rewards.reshape(-1, 1), Groups.uniform(*rewards.shape), ("r",), columns)


@pytest.mark.parametrize("sizes", [(4, 3, 5, 4), (6, 6, 6, 6, 6, 6, 6), (1, 2, 7)], ids=str)
def test_the_other_rules_equal_their_slow_twins(sizes: tuple[int, ...]) -> None:
    compare("adora", "verl", adora_llm, sizes, rule="llm")
    compare("risk_po", "verl", risk_po_easy, sizes, rule="easy")


# BNPO


@pytest.mark.parametrize("rows", [[[0, 0, 0, 0], [1, 0, 1, 0], [1, 1, 1, 1]], [[1, 0, 0, 1]], [[1, 0, 0, 0]] * 3])
def test_bnpo_is_dr_grpo_where_success_is_spread_evenly_or_not_at_all(rows: list[list[float]]) -> None:
    """Rates 0, 1/2, 1 have the mean 1/2 and the variance 1/4, so alpha and beta are 1; so they are where v is 0."""
    batch = rollouts(rows)
    torch.testing.assert_close(advantages(batch, "bnpo"), advantages(batch, "dr_grpo"), rtol=1e-12, atol=0)


def test_bnpos_density_has_the_moments_of_the_batch_a_third_of_the_way() -> None:
    batch = rollouts([[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 0, 0]])
    rate = batch.rewards.view(5, 4).mean(1)
    metrics = create("bnpo").signal(batch).metrics
    a, b = (3 * (metrics[f"beta_normalize/{name}/r"] - 1) for name in ("alpha", "beta"))
    torch.testing.assert_close(a / (a + b), rate.mean())
    torch.testing.assert_close(a * b / ((a + b).square() * (a + b + 1)), rate.var())


def test_bnpo_of_several_rewards_is_the_mean_over_them() -> None:
    batch, _ = make_batch(5, (6, 4, 5, 7))
    each = [
        advantages(Rollouts(batch.rewards[:, [k]], batch.groups, (name,)), "bnpo") for k, name in enumerate(batch.names)
    ]
    torch.testing.assert_close(advantages(batch, "bnpo"), torch.stack(each).mean(0))


def test_bnpo_maps_the_range_of_the_reward() -> None:
    batch, _ = make_batch(6, (8, 8, 8), rewards=1)
    moved = Rollouts(5 * batch.rewards - 2, batch.groups, batch.names)
    torch.testing.assert_close(advantages(moved, "bnpo", low=-2, high=3), advantages(batch, "bnpo"))


def test_bnpo_says_how_many_scores_lie_outside_the_range() -> None:
    outcome = create("bnpo").signal(rollouts([[0, 1, 2, 0], [1, 0, 0, -1]]))
    assert outcome.metrics["beta_normalize/outside"] == 0.25
    cut = create("bnpo").signal(rollouts([[0, 1, 1, 0], [1, 0, 0, 0]]))
    assert torch.equal(outcome.advantages, cut.advantages)  # not 1e6 times as much


@settings(max_examples=30, deadline=None)
@given(noise=st.floats(1e-12, 1e-5), size=st.sampled_from([5, 7, 16]))
def test_bnpo_stays_finite_where_rates_differ_by_rounding(noise: float, size: int) -> None:
    rows = [[0.7 + noise * i, *([0.3] * (size - 1))] for i in range(4)]
    for dtype in (torch.float32, torch.float64):
        batch = rollouts(rows)
        same = Rollouts(batch.rewards.to(dtype), batch.groups, batch.names)
        torch.testing.assert_close(advantages(same, "bnpo"), advantages(same, "dr_grpo"))


# ADORA


@pytest.mark.parametrize("rule", ["llm", "vlm"])
def test_adora_with_factor_one_is_grpo(rule: str) -> None:
    batch, _ = make_batch(7, (4, 5, 6), rewards=1)
    got = advantages(batch, "adora", rule=rule, factor=1.0)
    torch.testing.assert_close(got, advantages(batch, "grpo"), rtol=1e-4, atol=0)


WEIGHTS = [
    # scores, lengths, weight by "llm", weight by "vlm"
    ([1, 1, 0, 0], [10, 40, 20, 30], 1.0, 1.0),  # the longest right one, 40, is longer than 25
    ([1, 1, 0, 0], [10, 20, 20, 30], 0.1, 0.1),
    ([1, 1, 0, 0], [10, 25, 20, 30], 0.1, 0.1),  # as long is not longer
    ([1, 1, 0, 0], [10, 25, 20, 9999], 1.0, 1.0),  # one that was cut off is no evidence
    ([1, 1, 0, 0], [10, 25, 9999, 9999], 1.0, 0.1),  # so this group has no failure
    ([0.2, 0, 0.1, 0], [10, 25, 20, 30], 0.1, 1.0),  # all wrong
    ([1, 2, 1, 1], [10, 25, 20, 30], 1.0, 0.1),  # all right
]


@pytest.mark.parametrize(("scores", "lengths", "llm", "vlm"), WEIGHTS)
def test_adoras_weight_of_a_group(scores: list[float], lengths: list[int], llm: float, vlm: float) -> None:
    batch = rollouts([scores], lengths=torch.tensor(lengths))
    for rule, weight in (("llm", llm), ("vlm", vlm)):
        outcome = create("adora", rule=rule).signal(batch)
        torch.testing.assert_close(outcome.advantages, weight * advantages(batch, "grpo"), rtol=1e-4, atol=0)
        assert outcome.metrics["length_advantage/attenuated"] == float(weight < 1)


def test_adora_asks_the_reward_that_it_is_told_to() -> None:
    batch, _ = make_batch(8, (6, 6, 6), rewards=2)
    alone = Rollouts(batch.rewards[:, :1], batch.groups, ("r0",), batch.columns)
    got = advantages(batch, "adora", correct="r0", weights={"r1": 0.0})
    torch.testing.assert_close(got, advantages(alone, "adora"))


# Group CVaR


def test_cvar_of_everything_is_dr_grpo() -> None:
    batch, _ = make_batch(9, (4, 3, 5, 4))
    torch.testing.assert_close(advantages(batch, "group_cvar", alpha=1.0), advantages(batch, "dr_grpo"))


@pytest.mark.parametrize(("alpha", "cvar"), [(0.1, -2), (0.2, -1.5), (0.25, -1.2), (0.3, -1), (0.5, 0), (1, 2.5)])
def test_the_mean_of_the_reshaped_scores_is_cvar(alpha: float, cvar: float) -> None:
    batch = rollouts([[3, 7, -2, 0, 5, -1, 2, 6, 1, 4]])
    chain = create("group_cvar", alpha=alpha).signal.without("centre")
    assert chain(batch).advantages.mean().item() == pytest.approx(cvar, abs=1e-12)


def test_cvar_with_less_than_one_rollout_in_the_tail_is_silent() -> None:
    batch, _ = make_batch(10, (4, 3, 4))
    assert (advantages(batch, "group_cvar", alpha=0.24) == 0).all()


# RiskPO


def paper_advantages(totals: list[float], q: tuple[float, float], **parameters: object) -> list[float]:
    """A bundle of one prompt, so that a paper is a response and its score the paper's; times the bundle's deviation."""
    batch = rollouts([totals])
    chain = create("risk_po").signal.replace("bundle_risk", BundleRisk(size=1, **parameters))  # type: ignore[arg-type]
    out = chain(batch, (None, None, torch.tensor(q, dtype=torch.float64))).advantages
    return (out * torch.tensor(totals, dtype=torch.float64).std()).tolist()


def test_risk_po_below_between_and_above_the_quantiles() -> None:
    """Levels 0.2 and 0.8, weight 1.5: slope 1.5 / 0.2 / 2.5 = 3 below, 1 / 0.6 / 2.5 = 2/3 between, 0 above."""
    below = [-3 * 2.0, -3 * 1.0, 0.0, 2 / 3, 4 / 3, 4 / 3]
    got = paper_advantages([-1, 0, 1, 2, 3, 9], (1.0, 3.0))
    assert got == pytest.approx(below, rel=1e-4)
    natural = paper_advantages([-1, 0, 1, 2, 3, 9], (1.0, 3.0), baseline="upper")
    assert natural == pytest.approx([v - 4 / 3 for v in below], rel=1e-4, abs=1e-6)
    assert max(natural) == pytest.approx(0, abs=1e-9)


def test_risk_po_shares_a_paper_out_by_what_each_response_added() -> None:
    """Two prompts, three papers of scores 1, 1 and 3; own quantiles 1 and 2.2; only the third is above ql."""
    batch = rollouts([[1, 0, 1], [0, 1, 2]])
    [a, b] = create("risk_po", bundle=2).signal(batch).advantages.view(2, 3)
    paper = 1.2 / 0.6 / 2.5 / torch.tensor([1.0, 1.0, 3.0]).std().item()
    own = torch.tensor([1 / 3, 1.0], dtype=torch.float64)
    assert [a[0], a[1], b[0], b[1]] == [0, 0, 0, 0]
    torch.testing.assert_close(torch.stack([a[2], b[2]]), paper * own / own.sum(), rtol=1e-4, atol=0)


def test_risk_po_tracks_the_quantiles_of_the_papers() -> None:
    generator = torch.Generator().manual_seed(0)
    chain, state = create("risk_po", bundle=1, lr=0.04).signal, None
    seen = []
    for step in range(250):
        batch = Rollouts(torch.rand(256, 1, generator=generator), Groups.uniform(16, 16), ("r",))
        state = chain(batch, state).state
        seen += [state[2]] * (step >= 60)
    torch.testing.assert_close(torch.stack(seen).mean(0).float(), torch.tensor([0.2, 0.8]), rtol=0, atol=0.02)


def test_risk_po_uses_what_it_tracked_and_then_moves_it() -> None:
    first, second = rollouts([[0, 1, 2, 3, 4]]), rollouts([[5, 6, 7, 8, 9]])
    chain = create("risk_po", bundle=1).signal
    state = chain(first).state
    torch.testing.assert_close(state[2], torch.tensor([0.8, 3.2], dtype=torch.float64))
    outcome = chain(second, state)
    assert outcome.metrics["bundle_risk/below"] == 0
    assert outcome.metrics["bundle_risk/above"] == 1
    torch.testing.assert_close(outcome.state[2], state[2] + 0.1 * torch.tensor([0.2, 0.8], dtype=torch.float64))
    empty = rollouts([[math.nan, math.nan]])
    assert torch.equal(chain(empty, state).state[2], state[2])
    assert chain(second, chain(empty).state).metrics["bundle_risk/above"] < 1  # nothing was tracked: its own


@pytest.mark.parametrize("rule", ["hard", "easy"])
def test_risk_po_is_exactly_silent_where_all_papers_scored_alike(rule: str) -> None:
    """Also against tracked quantiles that lie elsewhere; the authors divide by 1e-6 there."""
    state = (None, None, torch.tensor([0.3, 0.6]))
    rewards = torch.full((20, 1), 0.7)
    outcome = create("risk_po", rule=rule, bundle=2).signal(Rollouts(rewards, Groups.uniform(4, 5), ("r",)), state)
    assert (outcome.advantages == 0).all()
    assert outcome.metrics["bundle_risk/flat"] == 1


def test_risk_po_makes_papers_of_scored_responses_only() -> None:
    """Papers 1 + 0, 0 + 2 and 1 + 1: a prompt without scores leaves, a response too many finds no partners."""
    nan = math.nan
    batch = rollouts([[nan, 1, 0, 1, 0], [0, nan, nan, 2, 1], [nan] * 5])
    got = create("risk_po", bundle=3).signal(batch).advantages
    # Scores 1, 2, 2; quantiles 1.4 and 2; (score - mean of the prompt) is 0.5, -0.5, 0.5 and -1, 1, 0.
    papers = [-3 * 0.4, 2 / 3 * 0.6, 2 / 3 * 0.6]
    shares = [(-1.0, 2.0), (-1.0, 2.0), (1.0, 0.0)]
    want = torch.zeros(15, dtype=torch.float64)
    for j, (paper, share) in enumerate(zip(papers, shares, strict=True)):
        want[[(1, 2, 3)[j], (5, 8, 9)[j]]] = paper * torch.tensor(share, dtype=torch.float64) / (1 / 3) ** 0.5
    torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-12)


# COPO


def answered(rows: list[list[float]], answers: list[list[int]]) -> Rollouts:
    return rollouts(rows, answers=torch.tensor(answers).flatten())


def test_copo_takes_a_group_of_one_answer_nearly_as_one() -> None:
    outcome = create("copo").signal(answered([[1, 1, 1], [1, 1, 0]], [[7, 7, 7], [7, 7, 7]]))
    assert outcome.columns["local_weight"].tolist() == pytest.approx([1 / (1 + math.exp(5))] * 5 + [0])
    means = torch.tensor([1, 2 / 3], dtype=torch.float64)
    among = (means - means.mean()) / (means.std() + 1e-6)
    torch.testing.assert_close(outcome.columns["global_advantage"], among.repeat_interleave(3))
    assert (outcome.columns["local_advantage"][:3] == 0).all()


def test_copos_wrong_rollouts_have_the_global_push_alone() -> None:
    outcome = create("copo").signal(answered([[0, 0, 0, 0], [1, 1, 0, 0]], [[1, 2, 3, 4], [5, 5, 6, 6]]))
    assert outcome.columns["local_weight"].tolist() == [0, 0, 0, 0, 0.5, 0.5, 0, 0]  # entropies of 2 bits and 1 bit
    wrong = torch.tensor([0, 1, 2, 3, 6, 7])
    assert torch.equal(outcome.advantages[wrong], outcome.columns["global_advantage"][wrong])


def test_copo_among_equal_groups_is_grpo_times_its_weight() -> None:
    batch, _ = make_batch(11, (6, 6, 6), rewards=1)
    same = answered([[1, 2, 3, 4]] * 3, [[0, 1, 2, 3]] * 3)
    outcome = create("copo").signal(same)
    assert (outcome.columns["global_advantage"] == 0).all()
    torch.testing.assert_close(outcome.advantages, outcome.columns["local_weight"] * advantages(same, "grpo"))
    assert (create("copo").signal(answered([[0.7] * 7] * 5, [[0] * 7] * 5)).advantages == 0).all()
    one_group = Rollouts(batch.rewards[:5], Groups.uniform(1, 5), ("r",), {"answers": torch.arange(5)})
    assert (create("copo").signal(one_group).columns["global_advantage"] == 0).all()


# DCPO


def tempered(batch: Rollouts, change: float) -> Rollouts:
    return batch.with_columns(tempered_logp=batch.columns["old_logp"] + change)


def test_dcpo_at_its_target_is_grpo() -> None:
    batch, _ = make_batch(12)
    outcome = create("dcpo").signal(batch, (None, None, None, 0.5))
    tokens = advantages(batch, "grpo")[:, None] * batch.columns["response_mask"]
    torch.testing.assert_close(outcome.push.advantages, tokens, rtol=1e-12, atol=0)
    torch.testing.assert_close(outcome.advantages, advantages(batch, "grpo"), rtol=1e-12, atol=1e-15)


def test_dcpo_at_temperature_one_adds_the_same_to_every_correct_token() -> None:
    batch = tempered(make_batch(13, rewards=1)[0], 0.0)
    correct = (batch.rewards[:, 0] > 0.05).double()
    share = 0.1 / (0.1 + correct.mean())
    want = (1 - share) * advantages(batch, "grpo") + share * correct
    outcome = create("dcpo").signal(batch)
    torch.testing.assert_close(outcome.advantages, want)
    torch.testing.assert_close(outcome.push.advantages, want[:, None] * batch.columns["response_mask"])


def test_dcpo_follows_the_entropy_of_the_step_before() -> None:
    batch, _ = make_batch(14)
    stage = create("dcpo").signal.stages[-1]
    outcome = create("dcpo").signal(batch)
    told = batch.columns["old_logp"][batch.columns["response_mask"]]
    torch.testing.assert_close(outcome.state[-1], -told.mean())
    torch.testing.assert_close(outcome.metrics["tempered_target/entropy"], -told.mean())
    assert stage.temperature(stage.init()) == 1.2  # type: ignore[attr-defined]
    for entropy, temperature in ((0.5, 1.2), (0.51, 0.8)):
        assert stage.temperature(torch.tensor(entropy)) == temperature  # type: ignore[attr-defined]
        sure = batch.with_columns(old_logp=torch.full_like(batch.columns["old_logp"], -entropy))
        got = create("dcpo").signal(sure).metrics["tempered_target/next_temperature"]
        assert got.item() == pytest.approx(temperature)


def test_dcpo_without_a_correct_rollout_is_silent_and_bad_scores_stay_where_they_are() -> None:
    batch = rollouts([[0.0, -1.0, 0.0], [-2.0, 0.0, -1.0]])
    mask = torch.ones(6, 4, dtype=torch.bool)
    old = torch.full((6, 4), -1.0, dtype=torch.float64)
    batch = batch.with_columns(response_mask=mask, old_logp=old, tempered_logp=old)
    assert (create("dcpo").signal(batch).push.advantages == 0).all()
    right = Rollouts(batch.rewards + 1, batch.groups, batch.names, batch.columns)
    broken = old.clone()
    broken[0, 1], broken[1, 2] = math.nan, math.inf
    got = create("dcpo").signal(right.with_columns(tempered_logp=broken)).push.advantages
    want = create("dcpo").signal(right).push.advantages
    elsewhere = broken.isfinite()
    assert got.isfinite().all()
    torch.testing.assert_close(got[elsewhere], want[elsewhere])
