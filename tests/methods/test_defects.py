"""Defects measured in other engines, which must not be here."""

from __future__ import annotations

import pytest
import torch

from concord import Groups, Rollouts, create, names

SIGNED = [name for name in names() if name in ("grpo", "gdpo", "gd2po", "gd2po_hard")]


def rollouts(rewards: torch.Tensor, size: int = 8) -> Rollouts:
    n, kinds = rewards.shape
    lengths = torch.randint(1, 50, (n,), generator=torch.Generator().manual_seed(1))
    columns = {"lengths": lengths, "contrastive_loss": torch.full((n,), torch.nan)}
    return Rollouts(rewards, Groups.uniform(n // size, size), tuple("abc"[:kinds]), columns)


@pytest.mark.parametrize("name", [*SIGNED, "clipo", "dapo", "dr_grpo", "gspo", "lite_ppo", "reinforce_pp", "rloo"])
def test_a_few_missing_scores_do_not_spread(name: str) -> None:
    """One NaN in a batch statistic would turn every advantage into NaN."""
    rewards = torch.rand(256, 2, generator=torch.Generator().manual_seed(0))
    rewards[::20, 1] = torch.nan
    outcome = create(name).signal(rollouts(rewards))
    assert outcome.advantages.isfinite().all()
    assert (outcome.advantages[outcome.keep] != 0).float().mean() > 0.9


@pytest.mark.parametrize("name", [name for name in SIGNED if name != "grpo"])
@pytest.mark.parametrize("numerics", ["verl", "trl"])
def test_a_saturated_reward_flips_no_sign_under_its_noise_floor(name: str, numerics: str) -> None:
    """A second reward stuck at 1 +- 1e-5, over its deviation, is as loud as the first: a floor of 1e-3 silences it."""
    generator = torch.Generator().manual_seed(0)
    signal = torch.rand(512, 1, generator=generator)
    noise = 1 + 1e-5 * torch.randn(512, 1, generator=generator)
    stuck = torch.ones(512, 1)
    method = create(name, numerics=numerics)
    loud = rollouts(torch.cat([signal, noise], 1))
    told = method.signal(loud)
    assert told.metrics["group_normalize/faint/b"] == 1  # and the metric says so
    assert told.metrics["group_normalize/faint/a"] == 0
    floored = Rollouts(loud.rewards, loud.groups, loud.names, loud.columns, {"b": 1e-3})
    noisy = method.signal(floored)
    clean = method.signal(rollouts(torch.cat([signal, stuck], 1)))
    assert noisy.keep.all()
    torch.testing.assert_close(noisy.advantages, clean.advantages)
    assert noisy.metrics["group_normalize/faint/b"] == 0
    assert noisy.metrics["group_normalize/flat/b"] == 1


@pytest.mark.parametrize("size", [5, 7, 8, 16])
@pytest.mark.parametrize("value", [0.1, 0.3, 0.7, 2.4])
def test_a_constant_reward_is_no_conflict(size: int, value: float) -> None:
    """The plain formula leaves the rounding of the mean, which a mask then takes for a sign."""
    signal = torch.rand(32 * size, 1, generator=torch.Generator().manual_seed(size))
    batch = rollouts(torch.cat([signal, torch.full_like(signal, value)], 1), size)
    assert create("gd2po_hard").signal(batch).keep.all()


def test_the_plain_formula_has_the_defect() -> None:
    """So that the tests above have something to fail on."""
    constant = torch.full((8,), 2.4)
    plain = (constant - constant.mean()) / (constant.std() + 1e-6)
    assert plain[0].item() == pytest.approx(0.19, abs=1e-3)


def test_an_abstaining_reward_is_not_a_zero() -> None:
    """Rewards 0.5 and 1 in a group, one score missing: None as 0 would make that rollout the worst."""
    rewards = torch.tensor([[0.5, 0.6], [0.5, 1.0], [0.5, 0.8], [0.5, torch.nan]])
    advantage = create("grpo").signal(rollouts(rewards, 4)).advantages
    assert advantage[3] == pytest.approx(0.0, abs=1e-6)
    assert advantage[0] < 0


def test_whitening_gain_shows_how_few_groups_speak() -> None:
    """With k of 32 groups informative GDPO's advantages grow by sqrt(32 / k)."""
    generator = torch.Generator().manual_seed(0)
    rewards = torch.full((256, 1), 0.5)
    gains = {}
    for speaking in (32, 2):
        rewards[: speaking * 8, 0] = torch.rand(speaking * 8, generator=generator)
        gains[speaking] = create("gdpo", numerics="trl").signal(rollouts(rewards)).metrics["whiten/gain"].item()
        rewards[:] = 0.5
    assert gains[32] == pytest.approx(1.07, abs=0.02)
    assert gains[2] / gains[32] == pytest.approx((32 / 2) ** 0.5, rel=0.02)


def test_dynamic_sampling_does_not_mistake_a_conflict_for_silence() -> None:
    """Two rewards that swap add up to one value in every rollout: the filters of others drop the group."""
    rewards = torch.tensor(
        [[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [1.0, 1.0], [1.0, 1.0], [1.0, 1.0]]
    )
    outcome = create("dapo").signal(rollouts(rewards, 4))
    assert outcome.empty_groups.tolist() == [False, True]


@pytest.mark.parametrize("tau", [0.0, 0.5, 1.0])
def test_an_abstaining_reward_adds_nothing_after_others_were_dropped(tau: float) -> None:
    """The mean over the kept rollouts alone is not 0; the baseline is that of all that were scored."""
    rewards = torch.rand(64, 3, generator=torch.Generator().manual_seed(2))
    rewards[::5, 1] = torch.nan
    outcome = create("gd2po", tau=tau).signal(rollouts(rewards), trace=True)
    trace = dict(outcome.trace)
    z, total = trace["group_normalize"].values, trace["sum"].values[:, 0]
    torch.testing.assert_close(total, z.nansum(1), rtol=0, atol=1e-6)
