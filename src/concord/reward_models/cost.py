"""What training a reward model will cost, estimated from its configuration alone."""

from __future__ import annotations

from concord.engines.defaults import REWARD_MODEL
from concord.reward_models.config import RewardModelConfig
from concord.run.cost import Cost, memory, size

_READ = ("gradient_accumulation_steps", "max_length", "model_init_kwargs", "per_device_train_batch_size")


def estimate(config: RewardModelConfig) -> Cost:
    """The cost of one model of a configuration; they are trained one after another.

        tokens = pairs of an update * 2 * the length limit

    Memory, and options that are not set, as in :func:`concord.run.cost.estimate`.

    Raises:
        MissingExtra: a default is needed, and TRL is not installed.
    """
    engine = REWARD_MODEL.read_all(config.engine, _READ)
    parameters = size(config.model, config.sizes.get("model"))
    pairs, limit = engine["per_device_train_batch_size"] * engine["gradient_accumulation_steps"], engine["max_length"]
    return Cost(
        parameters,
        memory(parameters, engine["model_init_kwargs"], config.peft),
        None if limit is None else float(pairs * 2 * limit),
    )
