"""A contrastive bonus on any method: where it goes, and what it is to the method alone."""

from __future__ import annotations

import pytest
import torch

from concord import Chain, Groups, Method, Rollouts, create
from concord.core.errors import ConfigError, MissingColumn
from concord.learners import Contrastive
from concord.methods import clipo, dapo, gd2po, gd2po_hard, gdpo, grpo, with_contrastive
from concord.stages import AddContrastive, ContrastiveChannel, GroupNormalize, Sum, Weigh
from tests.batches import make_batch

COMPARING = {"batch_normalize", "centre", "group_centre_batch_scale", "group_normalize", "leave_one_out"}
BASES = ("dapo", "dr_grpo", "gd2po", "gd2po_hard", "gdpo", "grpo", "gspo", "lite_ppo", "reinforce_pp", "rloo")


def judged(seed: int = 0) -> Rollouts:
    """Rollouts of one reward, right or wrong, and the loss of the right ones in mixed groups."""
    generator = torch.Generator().manual_seed(seed)
    right = (torch.rand(64, 1, generator=generator) < 0.5).float()
    right[:8], right[8:16] = 1, 0
    groups = Groups.uniform(8, 8)
    mixed = torch.tensor([0 < right[p * 8 : p * 8 + 8].sum() < 8 for p in range(8)])[groups.index]
    loss = torch.where((right[:, 0] > 0) & mixed, 2.4 * torch.rand(64, generator=generator), torch.nan)
    columns = {"lengths": torch.randint(1, 30, (64,), generator=generator), "contrastive_loss": loss}
    return Rollouts(right, groups, ("right",), columns)


def test_clipo_is_grpo_with_the_bonus() -> None:
    assert clipo() == with_contrastive(grpo())
    assert clipo().signal == Chain((Weigh(), Sum(), AddContrastive(0.2, -0.5), GroupNormalize(1e-6)))
    assert clipo().objective == grpo().objective
    assert clipo().learner == Contrastive()
    made = clipo(
        correct="acc", threshold=0.5, head="mlp", dim=8, loss="sup_con_in", level="batch", warmup=14, scale=0.1
    )
    head = Contrastive("acc", 0.5, dim=8, head="mlp", loss="sup_con_in", level="batch", warmup=14)
    assert made == with_contrastive(grpo(), head, scale=0.1)
    assert clipo(base="gd2po", base_args={"tau": 0.5}, weights={"a": 2.0}) == with_contrastive(
        gd2po(tau=0.5, weights={"a": 2.0})
    )


def test_an_engine_supplies_states_and_the_learner_the_loss() -> None:
    assert clipo().needs == {"hidden"}
    assert clipo(base="gdpo").needs == {"hidden"}
    assert grpo().needs == set()
    with pytest.raises(MissingColumn, match="'add_contrastive' needs columns"):
        clipo().signal(Rollouts(torch.zeros(2, 1), Groups.uniform(1, 2), ("right",)))


@pytest.mark.parametrize("base", BASES)
def test_the_bonus_stands_before_any_rollout_is_compared(base: str) -> None:
    signal = with_contrastive(create(base)).signal
    bonus = next(stage for stage in signal.stages if isinstance(stage, AddContrastive | ContrastiveChannel))
    after = signal.names[signal.names.index(bonus.name) :]
    assert signal.without(bonus.name).names == create(base).signal.names
    assert COMPARING & set(after)
    assert isinstance(bonus, ContrastiveChannel) == (base in ("gdpo", "gd2po", "gd2po_hard"))


@pytest.mark.parametrize("base", BASES)
def test_a_scale_of_zero_and_a_batch_without_anchors_are_the_method_alone(base: str) -> None:
    batch, _ = make_batch(2, (8, 5, 4))
    want = create(base).signal(batch)
    silent = batch.with_columns(contrastive_loss=torch.full_like(batch.column("contrastive_loss"), torch.nan))
    for got in (with_contrastive(create(base), scale=0).signal(batch), with_contrastive(create(base)).signal(silent)):
        assert torch.equal(got.advantages, want.advantages)
        assert torch.equal(got.keep, want.keep)


@pytest.mark.parametrize("base", ["grpo", "dapo", "dr_grpo", "gdpo", "rloo", "lite_ppo"])
def test_a_correct_rollout_that_resembles_the_others_gets_more(base: str) -> None:
    batch = judged()
    loss = batch.column("contrastive_loss")
    advantages = with_contrastive(create(base)).signal(batch).advantages
    told = 0
    for p in range(8):
        anchors = [n for n in range(p * 8, p * 8 + 8) if loss[n] == loss[n]]
        by_loss = sorted(anchors, key=lambda n: float(loss[n]))
        assert [float(advantages[n]) for n in by_loss] == sorted((float(advantages[n]) for n in anchors), reverse=True)
        told += len(anchors)
    assert told > 10


@pytest.mark.parametrize("base", ["grpo", "dr_grpo", "gdpo"])
def test_a_correct_rollout_stays_above_an_incorrect_one(base: str) -> None:
    batch = judged(1)
    advantages = (
        with_contrastive(create(base)).signal.without("whiten" if base == "gdpo" else "weigh")(batch).advantages
    )
    for p in range(1, 8):
        rows = slice(p * 8, p * 8 + 8)
        right = batch.rewards[rows, 0] > 0
        if right.any() and not right.all():
            assert advantages[rows][right].min() > advantages[rows][~right].max()


def test_zero_instead_of_no_score_would_set_the_bonus_against_correctness_everywhere() -> None:
    """Why the channel abstains on incorrect rollouts: as 0 they would be its best, and GD2PO would drop every group."""
    batch = judged()
    zeros = torch.cat(
        [batch.rewards, batch.column("contrastive_loss").mul(-0.2).clamp(min=-0.5).nan_to_num(0)[:, None]], 1
    )
    as_zero = gd2po_hard().signal(Rollouts(zeros, batch.groups, ("right", "contrastive"), batch.columns))
    ours = with_contrastive(gd2po_hard()).signal(batch)
    mixed = slice(16, 64)  # the first two groups are all right and all wrong
    wrong = batch.rewards[mixed, 0] == 0
    assert not as_zero.keep[mixed][wrong].any()
    assert ours.keep[mixed][wrong].all()
    assert 0 < ours.keep[mixed].float().mean() < 1


def test_the_channels_weight_is_the_scale_unless_one_is_given() -> None:
    weigh = {
        m.signal.stages[2] for m in (with_contrastive(gdpo()), with_contrastive(gdpo(weights={"contrastive": 0.2})))
    }
    assert weigh == {Weigh({"contrastive": 0.2})}
    both = with_contrastive(gdpo(weights={"right": 2, "contrastive": 0.7}), scale=0.3).signal
    assert both.stages[2] == Weigh({"right": 2, "contrastive": 0.7})


def test_dapo_does_not_count_the_bonus_as_variation() -> None:
    """Dynamic sampling watches the rewards; a group of one answer stays empty."""
    batch = judged()
    assert with_contrastive(dapo()).signal(batch).empty_groups.tolist() == dapo().signal(batch).empty_groups.tolist()


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ConfigError, match="the method has a learner already"):
        with_contrastive(clipo())
    with pytest.raises(ConfigError, match="what is the bonus to 'normalize_by_tag'"):
        with_contrastive(create("rlvmr"))
    with pytest.raises(ConfigError, match="the bonus needs a Sum"):
        with_contrastive(Method(Chain((GroupNormalize(),)), grpo().objective))
    with pytest.raises(ConfigError, match=r"needs a Weigh\(\) between 'group_normalize' and 'sum'"):
        with_contrastive(Method(Chain((GroupNormalize(), Sum())), grpo().objective))
