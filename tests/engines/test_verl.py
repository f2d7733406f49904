"""The parts of the verl plug-in that need no verl; the rest is in ``tests/engines_verl``."""

from __future__ import annotations

import copy
from types import SimpleNamespace

import pytest
import torch

from concord import Rollouts, create
from concord.core.errors import ConfigError, RewardError
from concord.engines.scored import named_rewards
from concord.engines.settings import Settings
from concord.engines.signal import StepSignal
from concord.engines.verl.check import check
from concord.engines.verl.loss import policy_loss
from concord.engines.verl.rows import Sessions
from concord.engines.verl.settings import read
from concord.engines.verl.trainer import StepEstimator
from concord.objectives import PolicyBatch, Totals

SECTION = {"method": "gd2po", "args": {"tau": 0.8}, "rewards": ["correctness", "format"]}


@pytest.fixture
def configuration(shipped_verl: dict) -> dict:
    """What verl composes, with a method of ours in it."""
    return {
        "algorithm": {"adv_estimator": "concord", "use_kl_in_reward": False, "concord": SECTION},
        "critic": {"enable": None},
        "reward": {"reward_model": {"enable": False, "enable_resource_pool": False}},
        "actor_rollout_ref": {"actor": copy.deepcopy(shipped_verl) | {"use_kl_loss": True}},
    }


@pytest.mark.parametrize(
    ("algorithm", "message"),
    [
        ({}, r"\+algorithm\.concord\.method"),
        ({"concrd": SECTION}, r"there is algorithm\.concrd"),
        ({"concord": SECTION | {"metod": "x"}}, "no key 'metod'; did you mean 'method'"),
        ({"concord": SECTION | {"method": "gd2op"}}, "did you mean 'gd2po'"),
        ({"concord": SECTION | {"args": {"ta": 1}}}, "no 'ta'; did you mean 'tau'"),
        ({"concord": SECTION | {"args": {"tau": 7}}}, r"tau must be in \[0, 1\]"),
        ({"concord": SECTION | {"args": {"tau": "high"}}}, r"args\.tau: must be a number, got 'high'"),
        (
            {"concord": {"method": "gd2po", "rewards": ["a", "b"], "args": {"weights": {"a": 0, "b": 0.0}}}},
            r"args\.weights: the weight of every reward is 0",
        ),
        ({"concord": SECTION | {"args": {"weights": {"formt": 1}}}}, "did you mean 'format'"),
        ({"concord": SECTION | {"rewards": []}}, "names no reward"),
        ({"concord": SECTION | {"rewards": ["a", "a"]}}, "'a' twice"),
        ({"concord": SECTION | {"rewards": "correctness"}}, "a list of names"),
        ({"concord": "gd2po"}, "keys and values"),
        ({"concord": {"rewards": ["a"]}}, "the name of a method"),
    ],
)
def test_what_is_misspelt_is_an_error_at_the_start_that_names_the_nearest(algorithm: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read(algorithm)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("algorithm.adv_estimator", "grpo", "adv_estimator=concord"),
        ("algorithm.use_kl_in_reward", True, "use_kl_loss"),
        ("algorithm.rollout_correction", {"bypass_mode": True}, "verl's own loss"),
        ("critic.enable", True, "no method here has verl.s critic"),
        ("reward.reward_model.enable", True, "enable_resource_pool=True"),
        ("actor_rollout_ref.actor.clip_ratio_high", 0.28, "clip_high"),
        ("actor_rollout_ref.actor.clip_ratio", 0.2, "clip"),  # which is not the default of this verl
        ("actor_rollout_ref.actor.loss_agg_mode", "seq-mean-token-mean", "its own average"),
        ("actor_rollout_ref.actor.policy_loss.loss_mode", "gspo", "its own loss"),
    ],
)
def test_an_option_that_would_have_no_effect_is_refused_with_what_to_write(
    path: str, value, message: str, configuration: dict
) -> None:
    config = configuration
    check(config, create("gd2po"))
    *parents, last = path.split(".")
    section = config
    for key in parents:
        section = section[key]
    section[last] = value
    with pytest.raises(ConfigError, match=message):
        check(config, create("gd2po"))


def test_a_method_that_empties_mini_batches_is_refused_beside_terms_that_divide_by_them(
    configuration: dict,
) -> None:
    config = configuration
    with pytest.raises(ConfigError, match="use_kl_loss"):
        check(config, create("dapo"))
    config["actor_rollout_ref"]["actor"]["use_kl_loss"] = False
    check(config, create("dapo"))


def test_rewards_are_read_by_name_and_what_is_no_score_is_missing() -> None:
    infos = [{"a": 1, "b": True}, {"a": None}, {"a": float("inf"), "b": 0.5, "text": "x"}]
    got = named_rewards(infos, ["b", "a"])
    assert got.isnan().tolist() == [[False, False], [True, True], [False, True]]
    assert got[0].tolist() == [1.0, 1.0]
    assert named_rewards([{"a": float("nan")}], ["a"]).isnan().all()  # it abstained, for all
    with pytest.raises(RewardError, match="'text' is no reward"):
        named_rewards([{"text": "x"}], ["text"])
    with pytest.raises(RewardError, match="did you mean 'b'"):
        named_rewards(infos, ["bb"])


def test_a_batch_of_nothing_but_padding_has_no_advantages_and_no_metrics() -> None:
    signal = StepSignal(Settings("gd2po", ("a", "b")))
    estimator = StepEstimator(signal, ["pad_0_0"], [{"is_padding": True}], [{"a": 1.0, "b": 1.0}], 9)
    advantages, returns = estimator(response_mask=torch.zeros(1, 4, dtype=torch.long))
    assert not advantages.any()
    assert not returns.any()
    assert estimator.metrics == {}


def test_outputs_of_a_rollout_may_stand_anywhere_and_the_last_one_is_scored() -> None:
    sessions = Sessions.read(["u_0_10", "v_0_0", "u_0_2"], [{}, {}, {}])
    assert sessions.last == (0, 1)
    assert sessions.sum(torch.tensor([3, 5, 4])).tolist() == [7, 5]
    assert sessions.spread(torch.tensor([0.5, -0.5])).tolist() == [0.5, -0.5, 0.5]


def test_a_rollout_that_was_cut_off_is_told_to_the_method() -> None:
    seen = []

    class Spy(StepSignal):
        def __call__(self, batch: Rollouts):
            seen.append(batch.columns)
            return super().__call__(batch)

    tags = [{"response_len": 4}, {"response_len": 3}]
    estimator = StepEstimator(Spy(Settings("gdpo", ("a",))), ["u_0_0", "u_1_0"], tags, [{"a": 1.0}, {"a": 0.0}], 4)
    estimator(response_mask=torch.tensor([[1, 1, 0, 1], [1, 1, 1, 0]]))  # a tool wrote one token of the first
    assert seen[0]["truncated"].tolist() == [True, False]
    assert seen[0]["lengths"].tolist() == [3, 3]


@pytest.mark.parametrize("method", ["gd2po", "grpo", "gspo", "dr_grpo"])
def test_the_losses_of_micro_batches_on_two_workers_add_up_to_the_methods_loss(method: str) -> None:
    """Workers' gradients are averaged by FSDP, which the factor ``dp_size`` undoes."""
    torch.manual_seed(0)
    objective = create(method).objective
    logp = torch.randn(4, 5, requires_grad=True)
    old, advantages = logp.detach() + 0.3 * torch.randn(4, 5), torch.randn(4)
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [1, 0, 0, 0, 0], [1, 1, 1, 0, 0]]).bool()
    whole, _ = objective(PolicyBatch(logp, old, advantages, mask), Totals.of(mask))
    expected = torch.autograd.grad(whole, logp)[0]
    config = SimpleNamespace(
        policy_loss=SimpleNamespace(objective=objective),
        global_batch_info={"dp_size": 2, "batch_num_tokens": int(mask.sum()), "global_batch_size": 4},
    )
    parts = [
        policy_loss(old[[n]], logp[[n]], advantages[[n], None].expand(1, 5), mask[[n]].long(), config=config)[0]
        for n in range(4)
    ]
    got = torch.autograd.grad(sum(parts) / 2, logp)[0]
    torch.testing.assert_close(got, expected)


def test_the_metrics_of_the_loss_are_means_over_the_micro_batchs_tokens() -> None:
    """Of three tokens one is beyond the clip of 1.2 and one is the environment's."""
    old = torch.zeros(1, 3)
    logp = torch.tensor([[1.5, 0.9, 7.0]]).log().requires_grad_()
    config = SimpleNamespace(policy_loss=SimpleNamespace(objective=create("grpo").objective), global_batch_info={})
    loss, metrics = policy_loss(old, logp, torch.ones(1, 3), torch.tensor([[1, 1, 0]]), config=config)
    assert loss.item() == pytest.approx(-(1.2 + 0.9) / 2)
    assert metrics == pytest.approx(
        {
            "actor/concord/clipped": 0.5,
            "actor/concord/ratio": 1.2,
            "actor/concord/ratio_variance": (0.5**2 + 0.1**2) / 2,
        }
    )
