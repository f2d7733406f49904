"""What the methods for turns, critics, judges and parts of a group are to each other and to GRPO."""

from __future__ import annotations

import pytest
import torch

from concord import Groups, Rollouts, create
from concord.core.errors import BatchError, ConfigError
from concord.objectives import PolicyBatch, Totals
from concord.rewards import AgainstReference, WinRate
from tests.batches import make_batch


def advantages(batch: Rollouts, name: str, **parameters: object) -> torch.Tensor:
    return create(name, **parameters).signal(batch).advantages


def one_turn_each(batch: Rollouts) -> Rollouts:
    n = len(batch.groups)
    return batch.with_columns(trajectory=torch.arange(n), turn=torch.zeros(n, dtype=torch.int64))


def test_igpo_with_one_turn_a_trajectory_is_grpo_with_the_populations_deviation() -> None:
    batch = one_turn_each(make_batch(1, (5, 5))[0])
    for norm in ("joint", "separate"):
        got = advantages(batch, "igpo", norm=norm)
        torch.testing.assert_close(got, advantages(batch, "grpo") * (5 / 4) ** 0.5, rtol=1e-5, atol=1e-5)


def test_igpo_without_discount_between_turns_is_the_turns_own_score_at_gamma_nought() -> None:
    batch, _ = make_batch(2, (6, 6))
    chain = create("igpo", gamma=0.0).signal
    torch.testing.assert_close(chain(batch).advantages, chain.without("sum_later_turns")(batch).advantages)


def test_the_gains_of_a_trajectory_add_up_to_the_whole_way() -> None:
    logp = torch.tensor([0.1, 0.3, 0.2, 0.9], dtype=torch.float64).log()
    columns = {
        "trajectory": torch.zeros(4, dtype=torch.int64),
        "turn": torch.arange(4),
        "answer_logp": torch.stack([logp, torch.cat([logp[1:], logp[:1]])], 1),
    }
    batch = Rollouts(torch.zeros(4, 1, dtype=torch.float64), Groups.uniform(1, 4), ("f1",), columns)
    signal = dict(create("igpo").signal(batch, trace=True).trace)["information_gain"]
    assert float(signal.values[:-1].sum()) == pytest.approx(0.9 - 0.1)


def test_a_turn_without_log_probabilities_has_no_reward_of_its_own() -> None:
    batch, _ = make_batch(3, (6,))
    logp = batch.columns["answer_logp"].clone()
    early = int(batch.columns["turn"].argmin())
    logp[early] = torch.nan
    outcome = create("igpo").signal(batch.with_columns(answer_logp=logp))
    assert outcome.push.advantages.isfinite().all()
    assert outcome.keep.all()


@pytest.mark.parametrize("numerics", ["verl", "trl"])
def test_eapo_without_discount_is_gspo(numerics: str) -> None:
    batch, _ = make_batch(4)
    assert torch.equal(
        advantages(batch, "eapo", gamma=1.0, numerics=numerics), advantages(batch, "gspo", numerics=numerics)
    )
    assert create("eapo").objective == create("gspo").objective


def test_eapo_prefers_the_shorter_of_two_successes_and_their_later_rounds() -> None:
    columns = {"trajectory": torch.tensor([0, 0, 0, 1, 2]), "turn": torch.tensor([0, 1, 2, 0, 0])}
    rewards = torch.tensor([[1.0], [1.0], [1.0], [1.0], [0.0]])
    A = advantages(Rollouts(rewards, Groups.uniform(1, 5), ("won",), columns), "eapo", gamma=0.9)
    assert A[0] < A[1] < A[2] == A[3]
    assert A[4] < 0


def test_rlvmr_with_one_kind_of_step_normalises_each_reward_in_its_group() -> None:
    batch, _ = make_batch(5, rewards=2)
    one = batch.with_columns(tag=torch.zeros(len(batch.groups), dtype=torch.int64))
    gdpo = create("gdpo").signal.without("whiten")
    torch.testing.assert_close(advantages(one, "rlvmr"), gdpo(batch).advantages)


def test_rlvmr_names_a_reward_that_is_not_there() -> None:
    with pytest.raises(BatchError, match="did you mean 'r1'"):
        create("rlvmr", step_reward="r11").signal(make_batch()[0])


def test_ppo_of_a_constant_critic_at_lambda_one_is_reinforce_pp() -> None:
    """With gamma and lambda 1 each token's return is the reward; a constant drops out of the whitening."""
    batch, _ = make_batch(6)
    flat = batch.with_columns(values=torch.full_like(batch.columns["values"], 0.3))
    torch.testing.assert_close(advantages(flat, "ppo", lam=1.0), advantages(batch, "reinforce_pp"))


def test_ppo_tells_tokens_apart_and_says_what_the_critic_should_have_said() -> None:
    batch, _ = make_batch(7)
    outcome = create("ppo").signal(batch)
    mask = batch.columns["response_mask"]
    assert outcome.token_advantages is not None
    assert (outcome.token_advantages[~mask] == 0).all()
    every = outcome.token_advantages[mask]
    assert every.mean().item() == pytest.approx(0, abs=1e-9)
    assert every.std().item() == pytest.approx(1, abs=1e-6)
    raw = create("ppo").signal.without("whiten_tokens")(batch)
    assert raw.token_advantages is not None
    torch.testing.assert_close(outcome.columns["returns"], (raw.token_advantages + batch.columns["values"]) * mask)


def test_a_perfect_critic_explains_everything_and_a_constant_one_nothing() -> None:
    batch, _ = make_batch(8)
    chain = create("ppo", lam=1.0).signal
    total = batch.rewards.sum(1, keepdim=True).expand(-1, batch.columns["values"].shape[1])
    for values, explained in ((total, 1.0), (torch.zeros_like(total), 0.0)):
        metrics = chain(batch.with_columns(values=values)).metrics
        assert metrics["gae/explained"].item() == pytest.approx(explained, abs=1e-9)


def test_turn_ppo_with_one_reward_at_the_end_is_ppo() -> None:
    batch, _ = make_batch(9, rewards=1)
    mask = batch.columns["response_mask"]
    won = torch.cat([batch.rewards, torch.zeros(len(mask), 0)], 1).round().clamp(0, 1)
    last = mask & (mask.cumsum(1) == mask.sum(1, keepdim=True))
    single = Rollouts(won, batch.groups, batch.names, batch.columns)
    dense = single.with_columns(turn_rewards=torch.where(last, won, 0))
    assert torch.equal(advantages(dense, "turn_ppo"), advantages(single, "ppo"))


def test_pf_ppo_counts_rollouts_of_ppo() -> None:
    batch, _ = make_batch(10, (4, 4, 4))
    outcome, ppo = create("pf_ppo").signal(batch), create("ppo").signal(batch)
    assert outcome.token_advantages is not None
    assert ppo.token_advantages is not None
    assert torch.bincount(batch.groups.index[outcome.keep]).tolist() == [2, 2, 2]
    want = torch.where(outcome.keep[:, None], 2 * ppo.token_advantages, 0)
    torch.testing.assert_close(outcome.token_advantages, want)


def test_the_loss_of_pf_ppo_is_that_of_the_batch_with_each_rollout_drawn_that_often() -> None:
    """Groups of four: the best and the worst count twice each, as in a batch that holds them twice."""
    batch, _ = make_batch(17, (4, 4))
    outcome, mask = create("pf_ppo").signal(batch), batch.columns["response_mask"]
    drawn = outcome.keep.nonzero()[:, 0].repeat(2)
    rng = torch.Generator().manual_seed(0)
    old = -torch.rand(mask.shape, generator=rng, dtype=torch.float64)
    logp = (old + 0.5 * torch.randn(mask.shape, generator=rng, dtype=torch.float64)).requires_grad_()
    objective, totals = create("ppo").objective, Totals.of(mask)
    counted = objective(PolicyBatch(logp, old, outcome.push.advantages, mask), totals).loss
    plain = create("ppo").signal(batch).push.advantages
    repeated = objective(PolicyBatch(logp[drawn], old[drawn], plain[drawn], mask[drawn]), totals).loss
    torch.testing.assert_close(counted, repeated)
    torch.testing.assert_close(*(torch.autograd.grad(loss, logp)[0] for loss in (counted, repeated)))


def test_pf_ppo_by_power_nought_leaves_ppo_as_it_is_nearly() -> None:
    batch, _ = make_batch(11)
    torch.testing.assert_close(
        advantages(batch, "pf_ppo", rule="power", power=1e-9), advantages(batch, "ppo"), rtol=1e-6, atol=1e-6
    )


def test_pf_ppo_ranks_the_weighted_sum() -> None:
    batch, _ = make_batch(12, (4, 4))
    chain = create("pf_ppo", rule="best", weights={"r0": 0, "r1": 0}).signal
    best = batch.groups.lay(batch.rewards[:, 2]).amax(0)
    assert batch.rewards[chain(batch).keep, 2].sort().values.tolist() == best.sort().values.tolist()


def test_brpo_averaged_over_the_reference_is_spos_reward_rescaled() -> None:
    """mean over references of A[i] = (G - 1) / G * (2 * winrate[i] - 1), where the judge minds no order."""
    texts = ["a", "bb", "ccc", "dddd", "eeeee"]
    rates = WinRate(lambda prompt, x, y: len(x) > len(y))(["q"] * 5, texts)
    drawn: dict[str, list[float | None]] = {}
    for seed in range(60):
        scores = AgainstReference(lambda prompt, x, y: len(x) > len(y), seed=seed)(["q"] * 5, texts)
        drawn[texts[scores.index(0.0)]] = scores
    assert sorted(drawn) == texts
    for i, rate in enumerate(rates):
        assert rate is not None
        mean = sum(scores[i] or 0 for scores in drawn.values()) / 5
        assert mean == pytest.approx(4 / 5 * (2 * rate - 1))


def test_preferences_in_a_circle_push_nobody() -> None:
    beats = {("rock", "scissors"), ("scissors", "paper"), ("paper", "rock")}
    rates = WinRate(lambda prompt, x, y: (x, y) in beats)(["q"] * 3, ["rock", "paper", "scissors"])
    batch = Rollouts(torch.tensor(rates)[:, None], Groups.uniform(1, 3), ("win_rate",))
    assert advantages(batch, "spo").tolist() == [0, 0, 0]


def test_spo_is_dr_grpos_advantage() -> None:
    batch, _ = make_batch(13)
    assert torch.equal(advantages(batch, "spo"), advantages(batch, "dr_grpo"))


@pytest.mark.parametrize(
    ("verdicts", "kept"),
    [([0, 1, 1, 1, -1] * 2, True), ([0, 1, 1, 1, -1, 1, 1, 1, -1, 1], True), ([0] + [1] * 9, False)],
)
def test_a_group_stays_up_to_the_limit(verdicts: list[int], kept: bool) -> None:
    batch = Rollouts(torch.tensor(verdicts)[:, None].float(), Groups.uniform(1, 10), ("judge",))
    outcome = create("brpo").signal(batch)
    assert outcome.empty_groups.tolist() == [not kept]
    assert outcome.advantages.tolist() == [v * kept for v in verdicts]


def test_exactly_the_limit_is_kept() -> None:
    batch = Rollouts(torch.tensor([0.0, 1, 1, 1, 0])[:, None], Groups.uniform(1, 5), ("judge",))
    assert create("brpo").signal(batch).keep.all()


def test_contrastive_subset_of_everything_is_grpo() -> None:
    batch, _ = make_batch(14, (4, 6, 8))
    assert torch.equal(advantages(batch, "contrastive_subset", share=1.0), advantages(batch, "grpo"))


def test_contrastive_subset_sets_short_good_against_long_bad_ones() -> None:
    lengths = torch.tensor([5, 1, 9, 7, 2, 8, 3, 6])
    won = torch.tensor([1.0, 1, 1, 1, 0, 0, 0, 0])
    batch = Rollouts(won[:, None], Groups.uniform(1, 8), ("won",), {"lengths": lengths})
    outcome = create("contrastive_subset").signal(batch)
    assert outcome.keep.tolist() == [True, True, False, False, False, True, False, True]
    assert outcome.advantages.sum().item() == pytest.approx(0)


def test_contrastive_subset_never_keeps_what_was_not_scored() -> None:
    won = torch.tensor([torch.nan, 0.0, 1.0, torch.nan, 0.5])
    batch = Rollouts(won[:, None], Groups.uniform(1, 5), ("won",), {"lengths": torch.arange(5)})
    assert create("contrastive_subset").signal(batch).keep.tolist() == [False, True, True, False, False]


def test_grpo_s_with_demonstrations_alike_is_grpo() -> None:
    """The same similarity everywhere, and gaps that are no outliers: all factors are 1."""
    batch, _ = make_batch(15)
    n = len(batch.groups)
    even = batch.with_columns(similarity=torch.full((n,), 0.4, dtype=torch.float64), demo_reward=torch.ones(n).double())
    torch.testing.assert_close(advantages(even, "grpo_s", tau=1e9), advantages(batch, "grpo"))


def test_grpo_s_flips_no_sign_and_meets_missing_facts() -> None:
    batch, _ = make_batch(16)
    signs = advantages(batch, "grpo").sign()
    assert torch.equal(advantages(batch, "grpo_s").sign(), signs)
    for missing in (torch.nan, -torch.inf):
        holed = batch.with_columns(similarity=torch.full((16,), missing), demo_reward=torch.full((16,), missing))
        assert torch.equal(advantages(holed, "grpo_s"), advantages(batch, "grpo"))


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("ppo", {"lam": 1.5}, "gamma and lam"),
        ("turn_ppo", {"most": 0}, "at least 1"),
        ("pf_ppo", {"rule": "worst"}, "best_worst"),
        ("pf_ppo", {"power": 0}, "positive"),
        ("igpo", {"norm": "none"}, "'joint' or 'separate'"),
        ("igpo", {"gamma": -1}, "gamma"),
        ("eapo", {"gamma": 2}, "gamma"),
        ("brpo", {"limit": 2}, "limit"),
        ("contrastive_subset", {"share": 0}, "share"),
        ("grpo_s", {"tau": -1}, "tau"),
    ],
)
def test_a_parameter_out_of_range_is_refused(name: str, parameters: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        create(name, **parameters)
