"""What methods are to each other: facts that hold whatever the numbers."""

from __future__ import annotations

import pytest
import torch

from concord import Groups, Rollouts, create
from concord.stages import Whiten
from tests.batches import make_batch


def advantages(batch: Rollouts, name: str, **parameters: object) -> torch.Tensor:
    return create(name, **parameters).signal(batch).advantages


@pytest.mark.parametrize("missing", [0.0, 0.2])
@pytest.mark.parametrize("numerics", ["verl", "trl"])
def test_gd2po_without_threshold_is_gdpo(numerics: str, missing: float) -> None:
    batch, _ = make_batch(3, (8, 5, 4), missing=missing)
    assert torch.equal(
        advantages(batch, "gd2po", tau=0, numerics=numerics), advantages(batch, "gdpo", numerics=numerics)
    )


def test_gd2po_hard_drops_every_rollout_of_mixed_sign_and_no_other() -> None:
    batch, _ = make_batch(5, (8, 8, 8))
    outcome = create("gd2po_hard").signal(batch, trace=True)
    z = dict(outcome.trace)["group_normalize"].values
    mixed = (z > 1e-8).any(1) & (z < -1e-8).any(1)
    assert mixed.any()
    assert not mixed.all()
    assert torch.equal(outcome.keep, ~mixed)
    assert torch.equal(outcome.advantages, advantages(batch, "gd2po", tau=1))


def test_tau_one_is_hard_also_where_the_score_rounds_to_one() -> None:
    """|sum| / sum|.| of (1, -2e-8) is 1 in float32, yet the signs differ."""
    z = torch.tensor([[1.0, -2e-8], [1.0, 1.0]])
    batch = Rollouts(z, Groups.uniform(1, 2), ("a", "b"))
    chain = create("gd2po", tau=1).signal.without("group_normalize").without("whiten")
    assert chain(batch).keep.tolist() == [False, True]


def test_more_tau_keeps_less() -> None:
    batch, _ = make_batch(1, (8,) * 16)
    kept = [int(create("gd2po", tau=tau / 10).signal(batch).keep.sum()) for tau in range(11)]
    assert kept == sorted(kept, reverse=True)
    assert kept[0] == 128 > kept[-1]


@pytest.mark.parametrize("numerics", ["verl", "trl"])
def test_gdpo_of_one_reward_is_whitened_grpo(numerics: str) -> None:
    batch, _ = make_batch(2, rewards=1)
    grpo = create("grpo", numerics=numerics)
    whiten = create("gdpo", numerics=numerics).signal.stages[-1]
    whitened = type(grpo.signal)((*grpo.signal.stages, whiten))(batch).advantages
    torch.testing.assert_close(whitened, advantages(batch, "gdpo", numerics=numerics), rtol=1e-12, atol=1e-12)


def test_rloo_is_dr_grpo_times_g_over_g_minus_one() -> None:
    batch, _ = make_batch(4, (5, 5, 5))
    torch.testing.assert_close(advantages(batch, "rloo"), advantages(batch, "dr_grpo") * 5 / 4)


@pytest.mark.parametrize(("scale", "shift"), [(7.0, 0.0), (0.01, 3.0), (1.0, -100.0), (1000.0, 5.0)])
@pytest.mark.parametrize("name", ["gdpo", "gd2po", "gd2po_hard"])
def test_units_of_a_reward_do_not_matter_to_gdpo(name: str, scale: float, shift: float) -> None:
    batch, _ = make_batch(6, (8, 8, 8))
    moved = batch.rewards.clone()
    moved[:, 1] = scale * moved[:, 1] + shift
    other = Rollouts(moved, batch.groups, batch.names, batch.columns)
    torch.testing.assert_close(advantages(other, name), advantages(batch, name), rtol=1e-3, atol=2e-4)


def test_units_of_a_reward_do_matter_to_grpo() -> None:
    batch, _ = make_batch(6, (8, 8, 8))
    moved = batch.rewards.clone()
    moved[:, 1] *= 100
    other = Rollouts(moved, batch.groups, batch.names, batch.columns)
    assert (advantages(other, "grpo") - advantages(batch, "grpo")).abs().max() > 0.1


def test_a_reversed_reward_reverses_the_advantage() -> None:
    batch, _ = make_batch(7, rewards=1)
    negative = Rollouts(-batch.rewards, batch.groups, batch.names, batch.columns)
    for name in ("grpo", "dr_grpo", "rloo", "gdpo", "lite_ppo", "reinforce_pp", "reinforce_pp_baseline"):
        torch.testing.assert_close(advantages(negative, name), -advantages(batch, name))


def test_the_better_of_two_rollouts_gets_the_positive_advantage() -> None:
    batch = Rollouts(torch.tensor([[1.0], [0.0]]), Groups.uniform(1, 2), ("r",), {"lengths": torch.tensor([3, 3])})
    for name in ("grpo", "dr_grpo", "rloo", "gdpo", "gd2po", "lite_ppo", "reinforce_pp", "dapo", "gspo"):
        good, bad = advantages(batch, name).tolist()
        assert good > 0 > bad, name


def test_whitening_over_tokens_is_whitening_the_tokens() -> None:
    batch, _ = make_batch(8, rewards=1, shuffle=False)
    x, lengths = batch.rewards[:, 0], batch.columns["lengths"]
    tokens = x.repeat_interleave(lengths)
    want = (x - tokens.mean()) * (tokens.var() + 1e-8).rsqrt()
    chain = type(create("gdpo").signal)((Whiten("tokens", 1e-8, True),))
    torch.testing.assert_close(chain(batch).advantages, want, rtol=1e-12, atol=1e-12)


def test_gdpo_tells_apart_what_grpo_sums_up() -> None:
    """The papers' example: rewards (0,1), (0,2), (1,2) in groups of two: three classes against two."""
    rewards = torch.tensor([[0, 0], [0, 1], [0, 0], [1, 1], [0, 1], [1, 1]], dtype=torch.float64)
    batch = Rollouts(rewards, Groups.uniform(3, 2), ("a", "b"), {"lengths": torch.ones(6, dtype=torch.int64)})
    grpo = advantages(batch, "grpo").abs()
    torch.testing.assert_close(grpo, torch.full_like(grpo, 0.5**0.5), atol=1e-5, rtol=0)
    raw = create("gdpo").signal.without("whiten")(batch).advantages[1::2]
    want = torch.tensor([0.5**0.5, 2**0.5, 0.5**0.5], dtype=torch.float64)
    torch.testing.assert_close(raw, want, atol=1e-5, rtol=0)


def test_weights_scale_the_normalised_reward() -> None:
    batch, _ = make_batch(9, (8, 8))
    heavy = advantages(batch, "gdpo", weights={"r0": 0.0, "r1": 0.0, "r2": 5.0})
    alone = Rollouts(batch.rewards[:, 2:], batch.groups, ("r2",), batch.columns)
    torch.testing.assert_close(heavy, advantages(alone, "gdpo"), rtol=1e-6, atol=1e-6)


def test_the_two_numerics_are_two_computations() -> None:
    """Tokens or rollouts in the batch step: how far apart the docs say they are."""
    batches = [make_batch(seed, (8,) * 8)[0] for seed in range(20)]
    pairs = [(advantages(b, "gdpo"), advantages(b, "gdpo", numerics="trl")) for b in batches]
    assert max((verl - trl).abs().max().item() for verl, trl in pairs) == pytest.approx(0.427, abs=1e-3)


def test_a_common_kept_share_cancels_in_the_codes_order_and_not_in_the_papers() -> None:
    """Both groups lose half: whitening after the share undoes it, the paper's order keeps it."""
    one = [[1.0, 1.0], [0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]
    batch = Rollouts(torch.tensor(one + one), Groups.uniform(2, 4), ("a", "b"), {"lengths": torch.ones(8).long()})
    share = create("gd2po").signal
    torch.testing.assert_close(share(batch).advantages, share.without("reweight_groups")(batch).advantages)
    paper = create("gd2po", rule="paper").signal
    torch.testing.assert_close(paper(batch).advantages * 2, paper.without("reweight_groups")(batch).advantages)
