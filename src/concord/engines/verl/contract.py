"""What Concord assumes of verl, as data: the tests and ``concord doctor`` compare it with what is installed."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
from typing import Any

from concord.core.errors import ConfigError

TESTED = ">=0.9.1,<0.10"
"""The range of verl that the plug-in's tests ran on."""

PARAMETERS: dict[str, tuple[str, ...]] = {
    "verl.trainer.ppo.v1:PPOTrainer._compute_advantage": ("batch", "metrics"),
    "verl.trainer.ppo.v1:PPOTrainer._save_checkpoint": (),
    "verl.trainer.ppo.v1:PPOTrainer._load_checkpoint": (),
    "verl.trainer.ppo.v1:register_trainer": ("name",),
    "verl.trainer.ppo.core_algos:register_adv_est": ("name_or_enum",),
    "verl.trainer.ppo.core_algos:register_policy_loss": ("name",),
    "verl.trainer.ppo.core_algos:compute_policy_loss_vanilla": (
        "old_log_prob",
        "log_prob",
        "advantages",
        "response_mask",
        "loss_agg_mode",
        "config",
        "rollout_is_weights",
    ),
    "verl.trainer.ppo.ray_trainer:compute_advantage": ("data", "adv_estimator", "config"),
}
"""Functions that are extended or called, or whose signature is shared, and the parameters relied on."""

SOURCES: dict[str, tuple[str, ...]] = {
    "verl.trainer.ppo.v1.trainer_base": (
        "adv_estimator=self.config.algorithm.adv_estimator",
        'self.trainer_mode != "sync"',
        "latest_checkpointed_iteration.txt",
    ),
    "verl.trainer.ppo.v1.agent_loop_tq": (
        'f"{uid}_{session_id}_{i}"',
        'field["loss_mask"] = field["response_mask"]',
        '"response_len": response_len',
    ),
    "verl.trainer.ppo.padding_utils": ("is_padding=True",),
    "verl.trainer.ppo.ray_trainer": ('adv_kwargs["non_tensor_batch"] = data.non_tensor_batch',),
    "verl.workers.utils.losses": (
        'config.global_batch_info["batch_num_tokens"]',
        "rollout_is_weights=rollout_is_weights",
    ),
}
"""Modules, and what their source must say: keys of rows, masks, what a trainer hands to whom."""


def check() -> list[str]:
    """Compare the installed verl with what is assumed here.

    Returns:
        one line a difference; empty if there is none.
    """
    try:
        importlib.import_module("verl")
    except Exception as error:  # whatever its own dependencies raise
        return [f"verl cannot be imported: {type(error).__name__}: {error}"]
    return [*_parameters(), *_sources(), *_defaults(), *_installed()]


def _parameters() -> list[str]:
    found = []
    for path, expected in PARAMETERS.items():
        module, _, name = path.partition(":")
        target: Any = _module(module)
        for part in name.split("."):
            target = getattr(target, part, None)
        if target is None:
            found.append(f"{module} has no {name}")
            continue
        known = inspect.signature(target).parameters
        found += [f"{name} has no parameter {parameter!r}" for parameter in expected if parameter not in known]
    return found


def _sources() -> list[str]:
    found = []
    for name, wanted in SOURCES.items():
        module = _module(name)
        text = "" if module is None else inspect.getsource(module)
        found += [f"{name} has no {words!r}" for words in wanted if words not in text]
    return found


def _defaults() -> list[str]:
    """That what verl composes, which the check reads, is what its classes have."""
    from concord.engines.defaults import verl_default
    from concord.engines.verl.check import REPLACED

    module = _module("verl.workers.config")
    if module is None:
        return ["there is no verl.workers.config"]
    known: dict[str, Any] = {}
    for prefix, owner in (("", module.ActorConfig), ("policy_loss.", module.PolicyLossConfig)):
        known |= {f"{prefix}{field.name}": field.default for field in dataclasses.fields(owner)}
    found = []
    for name in REPLACED:
        try:
            composed = verl_default(f"actor_rollout_ref.actor.{name}")
        except ConfigError as error:
            found.append(str(error))
            continue
        if name not in known:
            found.append(f"ActorConfig has no {name}")
        elif known[name] != composed:
            found.append(f"ActorConfig.{name} is {known[name]!r}, and what verl composes has {composed!r}")
    return found


def _installed() -> list[str]:
    """Whether verl has taken the plug-in in; it says nothing itself if it has not."""
    v1, core = _module("verl.trainer.ppo.v1.trainer_base"), _module("verl.trainer.ppo.core_algos")
    if v1 is None or "concord_sync" not in v1.TRAINER_REGISTRY:
        return [
            "verl has not loaded the plug-in: is concord-rl installed beside it, and VERL_USE_EXTERNAL_PLUGINS unset?"
        ]
    return [] if "concord" in core.POLICY_LOSS_REGISTRY else ["verl has loaded the plug-in without its policy loss"]


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None
