"""verl's own ``compute_advantage`` on a ``DataProto``, with the plug-in: equal to the core."""

from __future__ import annotations

import pytest
import torch
from omegaconf import OmegaConf
from verl.trainer.ppo.core_algos import ADV_ESTIMATOR_REGISTRY, get_adv_estimator_fn
from verl.trainer.ppo.ray_trainer import compute_advantage

from concord import Groups, Rollouts, create
from concord.core.errors import ConfigError, RewardError
from tests.engines_verl.batches import REWARDS, proto, rollouts


def section(method: str = "gdpo", rewards=REWARDS, **args):
    return OmegaConf.create({"concord": {"method": method, "rewards": list(rewards), "args": args}})


def by_verl(batch, config, estimator: str = "gdpo"):
    return compute_advantage(batch, adv_estimator=estimator, config=config).batch["advantages"]


def by_core(scores, uids, mask, method: str, **args):
    columns = {"lengths": mask.sum(1)}
    batch = Rollouts(torch.tensor(scores), Groups.of(uids), REWARDS, columns)
    return create(method, **args).signal(batch).advantages[:, None] * mask


def test_verls_own_gdpo_before_the_plug_in_takes_part_equals_the_core() -> None:
    scores, uids, mask = rollouts()
    native = OmegaConf.create({"gdpo_reward_keys": list(REWARDS)})
    assert get_adv_estimator_fn("gdpo").__wrapped__.__module__ == "verl.trainer.ppo.core_algos"
    torch.testing.assert_close(
        by_verl(proto(scores, uids, mask), native), by_core(scores, uids, mask, "gdpo"), atol=1e-6, rtol=0
    )


@pytest.mark.parametrize("method", ["gdpo", "gd2po", "gd2po_hard", "grpo", "rloo", "reinforce_pp"])
def test_after_it_every_method_equals_the_core(method: str) -> None:
    scores, uids, mask = rollouts()
    got = by_verl(proto(scores, uids, mask), section(method))
    torch.testing.assert_close(got, by_core(scores, uids, mask, method), atol=1e-6, rtol=0)


def test_the_rewards_are_those_that_are_named_with_their_weights() -> None:
    scores, uids, mask = rollouts()
    args = {"tau": 0.3, "weights": {"format": 0.25}}
    got = by_verl(proto(scores, uids, mask), section("gd2po", **args))
    torch.testing.assert_close(got, by_core(scores, uids, mask, "gd2po", **args), atol=1e-6, rtol=0)
    assert not torch.allclose(got, by_core(scores, uids, mask, "gd2po"), atol=1e-2)


def test_rows_that_fill_a_batch_up_change_nothing() -> None:
    scores, uids, mask = rollouts()
    padding = [0, 0, 0]
    more = torch.cat([mask, torch.zeros_like(mask[padding])])
    filled = proto(torch.tensor(scores)[[*range(len(uids)), *padding]].numpy(), uids + [uids[0]] * 3, more)
    got = by_verl(filled, section("gd2po"))
    torch.testing.assert_close(got[: len(uids)], by_verl(proto(scores, uids, mask), section("gd2po")))
    assert not got[len(uids) :].any()


def test_a_score_that_is_missing_spreads_nowhere() -> None:
    scores, uids, mask = rollouts()
    scores[3, 1] = float("nan")
    got = by_verl(proto(scores, uids, mask), section("gdpo"))
    assert got.isfinite().all()
    torch.testing.assert_close(got, by_core(scores, uids, mask, "gdpo"), atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("config", "estimator", "error", "message"),
    [
        (section("gd2op"), "gdpo", ConfigError, "did you mean 'gd2po'"),
        (section("gd2po", ta=0.5), "gdpo", ConfigError, "did you mean 'tau'"),
        (section("gd2po", rewards=["corectness"]), "gdpo", RewardError, "did you mean 'correctness'"),
        (section("dapo"), "gdpo", ConfigError, "denominators"),
        (section("gd2po"), "concord", ConfigError, "trainer.v1.trainer_mode=concord_sync"),
    ],
)
def test_what_does_not_fit_is_named(config, estimator, error, message) -> None:
    with pytest.raises(error, match=message):
        by_verl(proto(*rollouts()), config, estimator)


def test_an_estimator_of_a_name_of_its_own_is_not_handed_the_rewards_by_this_verl() -> None:
    """Why the legacy trainer takes "gdpo"; when this fails, a name of our own would do."""
    seen = {}

    def spy(**handed):
        seen.update(handed)
        return handed["response_mask"].float(), handed["response_mask"].float()

    ADV_ESTIMATOR_REGISTRY["spy"] = spy
    try:
        by_verl(proto(*rollouts()), section(), "spy")
    finally:
        del ADV_ESTIMATOR_REGISTRY["spy"]
    assert sorted(seen) == ["config", "index", "response_mask", "token_level_rewards"]
