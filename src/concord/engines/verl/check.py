"""verl's options that would have no effect, or a wrong one, beside a method of Concord."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from concord.core.errors import ConfigError
from concord.engines.defaults import verl_default
from concord.engines.verl.settings import ESTIMATOR
from concord.methods import Method
from concord.objectives import TokenMean

_LOSS = "the method brings its own loss; give its parameters as +algorithm.concord.args"

REPLACED = {
    "clip_ratio": f"{_LOSS}.clip",
    "clip_ratio_low": f"{_LOSS}.clip_low, or .clip",
    "clip_ratio_high": f"{_LOSS}.clip_high, or .clip",
    "clip_ratio_c": f"{_LOSS}.numerics: 'verl' has a dual clip, 'trl' none",
    "loss_agg_mode": "the method brings its own average over tokens and responses",
    "loss_scale_factor": "the method brings its own average over tokens and responses",
    "policy_loss.loss_mode": "the method brings its own loss",
}
"""Options of verl's actor that the method decides instead, and what to do in place of setting them."""


def check(config: Mapping[str, Any], method: Method) -> None:
    """Refuse what would go wrong, before anything is loaded.

    Args:
        config: verl's whole configuration, as plain data.
        method: of the run.

    Raises:
        ConfigError: naming the option, the reason, and what to write instead.
        MissingExtra: verl is not installed.
    """
    algorithm, actor = config["algorithm"], config["actor_rollout_ref"]["actor"]
    estimator = algorithm["adv_estimator"]
    if estimator != ESTIMATOR:
        raise ConfigError(
            f"algorithm.adv_estimator={estimator} would have no effect under a concord trainer; "
            f"write algorithm.adv_estimator={ESTIMATOR}"
        )
    if algorithm.get("use_kl_in_reward"):
        raise ConfigError(
            "algorithm.use_kl_in_reward=True would have no effect: the advantages come from the named rewards; "
            "write actor_rollout_ref.actor.use_kl_loss=True"
        )
    if (algorithm.get("rollout_correction") or {}).get("bypass_mode"):
        raise ConfigError(
            "algorithm.rollout_correction.bypass_mode=True puts verl's own loss in the place of the method's; "
            "leave it off: weights and rejection in decoupled mode work"
        )
    if (config.get("critic") or {}).get("enable"):
        raise ConfigError("critic.enable=True: no method here has verl's critic; leave critic.enable at null")
    model = (config.get("reward") or {}).get("reward_model") or {}
    if model.get("enable") and not model.get("enable_resource_pool"):
        raise ConfigError(
            "reward.reward_model on the trainer's devices gives one score and no named rewards; write "
            "reward.reward_model.enable_resource_pool=True, and ask it from compute_score"
        )
    for name, instead in REPLACED.items():
        default = verl_default(f"actor_rollout_ref.actor.{name}")
        section, _, option = name.rpartition(".")
        value = (actor[section] if section else actor).get(option, default)
        if value != default:
            raise ConfigError(f"actor_rollout_ref.actor.{name}={value} would have no effect: {instead}")
    if not method.count_dropped:
        _check_leaving(actor, method)


def _check_leaving(actor: Mapping[str, Any], method: Method) -> None:
    """A method whose dropped rollouts leave the denominators: verl can lose the tokens, not the responses."""
    if not isinstance(getattr(method.objective, "reduce", None), TokenMean):
        raise ConfigError(
            "dropped rollouts of this method leave its count of responses, which verl takes from "
            "ppo_mini_batch_size; only methods that average over tokens can drop in this way"
        )
    for option in ("use_kl_loss", "entropy_coeff", "calculate_entropy"):
        if actor.get(option):
            raise ConfigError(
                f"actor_rollout_ref.actor.{option}={actor[option]}: this method may drop a whole mini-batch, and verl "
                "then divides 0 by 0 in that term; leave it off"
            )
