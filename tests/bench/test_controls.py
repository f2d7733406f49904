"""Each control shares with GD2PO exactly what its name says."""

from __future__ import annotations

import pytest
import torch

from concord import Groups, Rollouts
from concord.bench.controls import (
    CONTROLS,
    gdpo_same_norm,
    gdpo_scale_only,
    mask_only,
    random_mask,
    reweight_last,
    reweight_only,
)
from concord.core.moments import group_sum
from concord.methods import Method, gd2po, gdpo


def batch(seed: int = 0, groups: Groups | None = None, kinds: int = 3) -> Rollouts:
    draw = torch.Generator().manual_seed(seed)
    groups = Groups.uniform(6, 8) if groups is None else groups
    count = len(groups)
    lengths = torch.randint(5, 60, (count,), generator=draw)
    return Rollouts(
        torch.randn(count, kinds, generator=draw), groups, tuple("abc"[:kinds]), {"lengths": lengths}
    )  # fmt: skip


RAGGED = Groups.of([0, 1, 0, 2, 1, 1, 0, 1, 0, 2, 3, 0])


def dropped(keep: torch.Tensor, groups: Groups) -> list[float]:
    return group_sum((~keep)[:, None].float(), groups)[:, 0].tolist()


@pytest.mark.parametrize("groups", [None, RAGGED], ids=["dense", "ragged"])
def test_the_random_mask_drops_as_many_of_each_group_but_any(groups: Groups | None) -> None:
    rollouts = batch(1, groups)
    informed, method = gd2po().signal(rollouts), random_mask()
    random, state = [], method.signal.init()
    for _ in range(20):
        outcome = method.signal(rollouts, state)
        state = outcome.state
        random.append(outcome.keep)
        assert dropped(outcome.keep, rollouts.groups) == dropped(informed.keep, rollouts.groups)
    assert 0 < (~informed.keep).sum() < len(informed.keep)
    assert len({tuple(keep.tolist()) for keep in random}) > 5
    assert torch.equal(method.signal(rollouts).keep, random[0])


def test_the_random_mask_drops_nothing_twice() -> None:
    """A rollout that nobody scored is not there to be dropped."""
    rollouts = batch(2)
    rewards = rollouts.rewards.clone()
    rewards[::3] = torch.nan
    rollouts = Rollouts(rewards, rollouts.groups, rollouts.names, rollouts.columns)
    unscored = dropped(~rewards.isnan().all(1), rollouts.groups)
    assert min(unscored) > 0
    assert dropped(random_mask().signal(rollouts).keep, rollouts.groups) == dropped(
        gd2po().signal(rollouts).keep, rollouts.groups
    )


def test_masking_without_weights_and_weights_without_masking() -> None:
    rollouts = batch(3)
    whole = gd2po().signal
    assert mask_only().signal == whole.without("reweight_groups")
    outcome = reweight_only().signal(rollouts, trace=True)
    assert outcome.keep.all()
    plain, weighed = (dict(c(rollouts, trace=True).trace)["sum"] for c in (gdpo().signal, reweight_only().signal))
    share = dict(whole(rollouts, trace=True).trace)["reweight_groups"].keep.float()
    kept = rollouts.groups.spread(group_sum(share[:, None], rollouts.groups) / 8)
    torch.testing.assert_close(weighed.values, plain.values * kept)


def test_the_same_norm_over_tokens_as_gd2po_and_the_same_direction_as_gdpo() -> None:
    rollouts = batch(4)
    scaled, theirs, plain = (m.signal(rollouts).advantages for m in (gdpo_same_norm(), gd2po(), gdpo()))
    weight = rollouts.columns["lengths"].sqrt()
    torch.testing.assert_close((weight * scaled).norm(), (weight * theirs).norm())
    torch.testing.assert_close(scaled / scaled.norm(), plain / plain.norm())
    assert not torch.allclose(scaled, plain, rtol=0.01)


def test_scaling_alone_turns_no_sign() -> None:
    rollouts = batch(5, kinds=2)
    outcome = gdpo_scale_only().signal(rollouts, trace=True)
    before = dict(outcome.trace)["sum"].values[:, 0]
    assert torch.equal(outcome.advantages.sign(), before.sign())
    lengths = rollouts.columns["lengths"]
    assert float((lengths * outcome.advantages.square()).sum() / lengths.sum()) == pytest.approx(1.0, abs=1e-5)
    assert (gdpo().signal(rollouts).advantages.sign() != before.sign()).any()


@pytest.mark.parametrize("build", CONTROLS.values(), ids=CONTROLS)
def test_without_signal_all_stay_silent(build: type[Method]) -> None:
    silent = Rollouts(torch.full((8, 2), 0.7), Groups.uniform(2, 4), ("a", "b"), {"lengths": torch.arange(1, 9)})
    assert build().signal(silent).advantages.tolist() == [0.0] * 8


def test_weights_after_the_batch_step_scale_what_masking_alone_gives() -> None:
    rollouts = batch(4)
    alone, last, code = (build().signal(rollouts) for build in (mask_only, reweight_last, gd2po))
    share = group_sum(alone.keep[:, None].float(), rollouts.groups) / 8
    torch.testing.assert_close(last.advantages, alone.advantages * rollouts.groups.spread(share)[:, 0])
    assert torch.equal(last.keep, code.keep)
    assert (last.advantages - code.advantages).abs().max() > 1e-3
