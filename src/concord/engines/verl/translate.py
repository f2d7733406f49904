"""A run's engine options, which are TRL's, in verl's words."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from concord.core.errors import ConfigError
from concord.engines.defaults import GRPO, LORA

_ACTOR, _ROLLOUT, _MODEL = "actor_rollout_ref.actor", "actor_rollout_ref.rollout", "actor_rollout_ref.model"

SAME = {
    "num_generations": f"{_ROLLOUT}.n",
    "max_completion_length": "data.max_response_length",
    "temperature": f"{_ROLLOUT}.temperature",
    "top_p": f"{_ROLLOUT}.top_p",
    "learning_rate": f"{_ACTOR}.optim.lr",
    "weight_decay": f"{_ACTOR}.optim.weight_decay",
    "max_grad_norm": f"{_ACTOR}.optim.clip_grad",
    "warmup_steps": f"{_ACTOR}.optim.lr_warmup_steps",
    "num_iterations": f"{_ACTOR}.ppo_epochs",
    "gradient_checkpointing": f"{_MODEL}.enable_gradient_checkpointing",
    "save_total_limit": "trainer.max_actor_ckpt_to_keep",
}
"""Options that verl has under another name."""

READ = (
    *SAME,
    # Sizes, which verl counts in prompts.
    "per_device_train_batch_size",
    "gradient_accumulation_steps",
    "steps_per_generation",
    "generation_batch_size",
    # What takes more than another name.
    "beta",
    "top_k",
    "lr_scheduler_type",
    "adam_beta1",
    "adam_beta2",
    "max_steps",
    "num_train_epochs",
    "save_steps",
    "save_strategy",
    "use_vllm",
)
"""Options that are translated. Where a run is silent TRL's default is written out, since verl's may differ."""

_LORA = {"r": "lora_rank", "lora_alpha": "lora_alpha", "target_modules": "target_modules"}

REASONS = {
    "use_cpu": "verl trains on accelerators",
    "bf16": "verl keeps float32 weights and computes in bfloat16 of its own accord",
    "report_to": "set trainer.logger",
    "logging_steps": "verl logs every step",
    "vllm_gpu_memory_utilization": f"set {_ROLLOUT}.gpu_memory_utilization",
    "vllm_tensor_parallel_size": f"set {_ROLLOUT}.tensor_model_parallel_size",
    "deepspeed": f"verl shards by itself; see {_ACTOR}.strategy",
    "fsdp": f"verl shards by itself; see {_ACTOR}.strategy",
}
"""Why an option is left out, or what to set instead."""


@dataclass
class Translated:
    """verl's options, and what could not be carried over.

    Attributes:
        options: by verl's key.
        left: one line each.
    """

    options: dict[str, Any] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)


def translate(engine: Mapping[str, Any], peft: Mapping[str, Any] | None, devices: int) -> Translated:
    """TRL's options in verl's words.

    The sizes are read as those of one process, since verl's are of the whole cluster, and stay what they are: rollouts
    generated together, and rollouts an update, both counted in prompts by verl.

    Args:
        engine: options of ``trl.GRPOConfig`` that the run sets; the others have TRL's defaults.
        peft: options of ``peft.LoraConfig``, likewise; None = all weights are trained.
        devices: accelerators of the cluster.

    Raises:
        ConfigError: sizes that are no whole prompts, or that the devices cannot share.
        MissingExtra: a default is needed, and TRL or PEFT is not installed.
    """
    given = GRPO.read_all(engine, READ)
    out = Translated({key: given[name] for name, key in SAME.items()})
    updates = _sizes(given, devices, out)
    _schedule(given, updates, out)
    out.options[f"{_ROLLOUT}.top_k"] = given["top_k"] or -1
    out.options[f"{_ACTOR}.optim.betas"] = [given["adam_beta1"], given["adam_beta2"]]
    if given["beta"]:
        out.options |= {
            f"{_ACTOR}.use_kl_loss": True,
            f"{_ACTOR}.kl_loss_coef": given["beta"],
            f"{_ACTOR}.kl_loss_type": "low_var_kl",
            "actor_rollout_ref.ref.log_prob_micro_batch_size_per_gpu": out.options[
                f"{_ACTOR}.ppo_micro_batch_size_per_gpu"
            ],
        }
        out.left.append(
            "engine.beta: verl averages its KL term as loss_agg_mode says (over tokens), not as the method does"
        )
    if not given["use_vllm"]:
        out.left.append("engine.use_vllm is off: verl always generates with a server, by default vLLM")
    if given["max_completion_length"] is None:
        out.left.append(
            "engine.max_completion_length=None: verl always has a limit; its data.max_response_length holds"
        )
    _adapter(peft, out)
    for name, value in engine.items():
        if name not in READ:
            out.left.append(f"engine.{name}={value!r}: {REASONS.get(name, 'no option of verl is known to do this')}")
    return out


def _sizes(given: Mapping[str, Any], devices: int, out: Translated) -> int:
    """Batch sizes in prompts; returns the optimisation steps in one step of verl."""
    size, micro = given["num_generations"], given["per_device_train_batch_size"]
    update = micro * given["gradient_accumulation_steps"]
    generated = given["generation_batch_size"] or micro * (
        given["steps_per_generation"] or given["gradient_accumulation_steps"]
    )
    for name, count in (("generated together", generated), ("of an update", update)):
        if count % size:
            raise ConfigError(f"engine: the {count} rollouts {name} are no whole prompts of {size} rollouts each")
    if generated % update:
        raise ConfigError(f"engine: {generated} rollouts generated together are no whole updates of {update}")
    if update % devices:
        raise ConfigError(
            f"engine: an update of {update} rollouts cannot be shared by {devices} devices; change "
            "gradient_accumulation_steps, or the number of devices"
        )
    micro = math.gcd(micro, update // devices)
    out.options |= {
        "data.train_batch_size": generated // size,
        f"{_ACTOR}.ppo_mini_batch_size": update // size,
        f"{_ACTOR}.ppo_micro_batch_size_per_gpu": micro,
        f"{_ROLLOUT}.log_prob_micro_batch_size_per_gpu": micro,
    }
    return int(generated // update * given["num_iterations"])


def _schedule(given: Mapping[str, Any], updates: int, out: Translated) -> None:
    """TRL counts optimisation steps, verl steps of generation."""
    if given["max_steps"] > 0:
        out.options["trainer.total_training_steps"] = math.ceil(given["max_steps"] / updates)
        # The epochs must not end the run first.
        out.options["trainer.total_epochs"] = out.options["trainer.total_training_steps"]
    else:
        out.options["trainer.total_epochs"] = math.ceil(given["num_train_epochs"])
    saved = given["save_strategy"] == "steps"
    out.options["trainer.save_freq"] = max(1, round(given["save_steps"] / updates)) if saved else -1
    if given["save_strategy"] not in ("steps", "no"):
        out.left.append(f"engine.save_strategy={given['save_strategy']!r}: verl saves by steps; set trainer.save_freq")
    kind = given["lr_scheduler_type"]
    if kind in ("constant", "constant_with_warmup", "cosine"):
        out.options[f"{_ACTOR}.optim.lr_scheduler_type"] = kind.removesuffix("_with_warmup")
    else:
        out.options[f"{_ACTOR}.optim.lr_scheduler_type"] = "constant"
        out.left.append(f"engine.lr_scheduler_type={kind!r}: verl has constant and cosine; constant is written")


def _adapter(peft: Mapping[str, Any] | None, out: Translated) -> None:
    if peft is None:
        return
    for name, value in {**LORA.read_all(peft, ("r", "lora_alpha")), **peft}.items():
        if name in _LORA:
            out.options[f"{_MODEL}.{_LORA[name]}"] = value
        else:
            out.left.append(f"peft.{name}={value!r}: verl's LoRA has rank, alpha and target_modules")
