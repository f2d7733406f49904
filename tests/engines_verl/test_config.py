"""verl's own configuration, composed by hydra as its command line does it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf
from verl.trainer.ppo.core_algos import compute_policy_loss_vanilla, get_policy_loss_fn
from verl.trainer.ppo.utils import need_critic, need_reference_policy
from verl.trainer.ppo.v1 import get_trainer_cls
from verl.utils.config import omega_conf_to_dataclass, validate_config

from concord import create
from concord.core import safe_yaml
from concord.core.errors import ConfigError
from concord.engines.defaults import verl_default
from concord.engines.verl import contract
from concord.engines.verl.check import REPLACED
from concord.engines.verl.settings import TRAINERS
from concord.engines.verl.translate import READ, translate
from concord.run.config import RunConfig
from concord.run.launch import plan
from concord.run.launch.plan import _value
from concord.run.paths import shipped_recipes

OURS = (
    "algorithm.adv_estimator=concord",
    "trainer.v1.trainer_mode=concord_sync",
    "+algorithm.concord.method=gd2po",
    "+algorithm.concord.args.tau=0.8",
    "+algorithm.concord.rewards=[correctness,format,length]",
    "actor_rollout_ref.rollout.name=vllm",
    "actor_rollout_ref.rollout.log_prob_micro_batch_size_per_gpu=4",
    "actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu=4",
)


WITHOUT_TRL = {
    "num_generations": 8, "max_completion_length": 64, "temperature": 1.0, "top_p": 1.0, "top_k": 0,
    "per_device_train_batch_size": 8, "gradient_accumulation_steps": 1, "steps_per_generation": None,
    "generation_batch_size": None, "num_iterations": 1, "learning_rate": 1e-6, "weight_decay": 0.0,
    "adam_beta1": 0.9, "adam_beta2": 0.999, "max_grad_norm": 1.0, "warmup_steps": 0, "lr_scheduler_type": "linear",
    "beta": 0.0, "max_steps": -1, "num_train_epochs": 3, "gradient_checkpointing": True, "save_total_limit": None,
    "save_steps": 500, "save_strategy": "steps", "use_vllm": False,
}  # fmt: skip
"""A run that leaves nothing to TRL's defaults: TRL is in the other environment, and nobody can be asked."""


def composed(*words: str):
    with initialize_config_module("verl.trainer.config", version_base=None):
        return compose("ppo_trainer", overrides=[*OURS, *words])


def test_a_run_without_trl_says_all_that_a_launch_reads() -> None:
    assert WITHOUT_TRL.keys() == set(READ)


def test_the_defaults_are_those_that_hydra_composes() -> None:
    with initialize_config_module("verl.trainer.config", version_base=None):
        config = compose("ppo_trainer")
    for key in (*(f"actor_rollout_ref.actor.{name}" for name in REPLACED), "data.max_prompt_length"):
        assert verl_default(key) == OmegaConf.select(config, key), key


def test_the_constants_of_a_method_with_verls_numerics_are_verls_defaults() -> None:
    surrogate = create("grpo", numerics="verl").objective.surrogate
    found = {"clip_ratio_low": surrogate.low, "clip_ratio_high": surrogate.high, "clip_ratio_c": surrogate.dual}
    assert found == {name: verl_default(f"actor_rollout_ref.actor.{name}") for name in found}


def test_this_verl_is_the_one_that_was_tested() -> None:
    assert contract.check() == []


@pytest.mark.parametrize(("mode", "native"), [(mode, native) for mode, (native, _) in TRAINERS.items()])
def test_a_trainer_is_verls_under_its_own_name_and_takes_the_methods_loss(mode: str, native: str) -> None:
    words = (f"trainer.v1.trainer_mode={mode}",)
    if native == "separate_async":
        words += (
            "data.train_batch_size=1024",
            "actor_rollout_ref.rollout.nnodes=1",
            "actor_rollout_ref.rollout.checkpoint_engine.backend=nccl",
        )
    config = composed(*words)
    made = get_trainer_cls(mode)(config)
    assert made.trainer_mode == native
    assert made.use_critic is False
    loss = omega_conf_to_dataclass(config.actor_rollout_ref.actor).policy_loss
    assert loss.loss_mode == "concord"
    assert loss.objective == create("gd2po", tau=0.8).objective


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("+algorithm.concord.metod=x",), "did you mean 'method'"),
        (("+algorithm.concord.args.ta=1",), "did you mean 'tau'"),
        (("algorithm.concord.method=gd2op",), "did you mean 'gd2po'"),
        (("algorithm.adv_estimator=grpo",), "adv_estimator=concord"),
        (("algorithm.use_kl_in_reward=True",), "use_kl_loss"),
        (("algorithm.rollout_correction.bypass_mode=True",), "verl's own loss"),
        (("actor_rollout_ref.actor.clip_ratio_high=0.28",), "clip_high"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_loaded(words: tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        get_trainer_cls("concord_sync")(composed(*words))


def test_verl_names_the_trainers_where_the_mode_is_misspelt() -> None:
    with pytest.raises(ValueError, match="concord_sync"):
        get_trainer_cls("concord_snyc")


def test_the_loss_of_gd2po_is_verls_vanilla_loss_in_value_and_gradient() -> None:
    torch.manual_seed(0)
    config = omega_conf_to_dataclass(trained().actor_rollout_ref.actor)
    config.global_batch_info.update(dp_size=2, batch_num_tokens=19, global_batch_size=8, loss_scale_factor=None)
    logp = torch.randn(4, 6, requires_grad=True)
    old, advantages = torch.randn(4, 6), torch.randn(4, 1).expand(4, 6)
    mask = torch.arange(6) < torch.tensor([[6], [2], [4], [1]])
    weights = torch.rand(4, 6)
    both = [
        function(old, logp, advantages, mask, "token-mean", config, weights)[0]
        for function in (get_policy_loss_fn("concord"), compute_policy_loss_vanilla)
    ]
    torch.testing.assert_close(*both)
    torch.testing.assert_close(*(torch.autograd.grad(loss, logp)[0] for loss in both))


def trained():
    config = composed()
    get_trainer_cls("concord_sync")(config)
    return config


@pytest.mark.parametrize("recipe", ["demo", "tool_calling", "tool_calling_two_rewards"])
def test_verl_takes_the_launch_of_a_recipe_that_ships_and_trains_its_method(recipe: str, tmp_path: Path) -> None:
    raw = safe_yaml.read(shipped_recipes()[recipe].read_text())
    engine = raw.pop("engine")  # which TRL checks, and that is in the other environment
    run = RunConfig.model_validate(raw).model_copy(update={"engine": WITHOUT_TRL | engine})
    launch = plan(run, tmp_path, nodes=2, gpus=8, options=["actor_rollout_ref.rollout.name=vllm"])
    with initialize_config_module("verl.trainer.config", version_base=None):
        config = compose("ppo_trainer", overrides=list(launch.words))
    validate_config(config, need_reference_policy(config), need_critic(config))
    signal = get_trainer_cls("concord_sync")(config)._signal
    weights = {name: reward.weight for name, reward in run.rewards.items() if reward.weight != 1}
    args = run.method.parameters | ({"weights": weights} if weights else {})
    assert signal.method == create(run.method.name, **args)
    assert signal.settings.rewards == tuple(run.rewards)


def test_values_of_every_kind_come_through_hydras_grammar() -> None:
    engine = {"per_device_train_batch_size": 16, "num_generations": 4, "max_steps": 8, "beta": 0.1, "save_steps": 2}
    found = translate(WITHOUT_TRL | engine, {"r": 4}, 2).options
    weights = {"+algorithm.concord.args.weights.my-reward": 0.5, "+algorithm.concord.args.numerics": "trl"}
    ours = {"algorithm.concord.rewards": ["my-reward", "format"], "data.train_files": "/a b/it's.parquet"}
    words = [f"{key}={_value(value)}" for key, value in {**found, **weights, **ours}.items() if value is not None]
    got = OmegaConf.to_container(composed(*words))
    assert got["data"]["train_files"] == "/a b/it's.parquet"
    assert got["algorithm"]["concord"]["args"] == {"tau": 0.8, "weights": {"my-reward": 0.5}, "numerics": "trl"}
    assert got["algorithm"]["concord"]["rewards"] == ["my-reward", "format"]
    assert got["actor_rollout_ref"]["actor"]["optim"]["betas"] == [0.9, 0.999]
