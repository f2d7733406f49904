"""What training a reward model will cost, estimated from its configuration alone."""

from __future__ import annotations

from concord.reward_models.config import RewardModelConfig
from concord.run.cost import Cost, memory, size


def estimate(config: RewardModelConfig) -> Cost:
    """The cost of one model of a configuration; they are trained one after another.

        tokens = pairs of an update * 2 * the length limit

    Memory as in :func:`concord.run.cost.estimate`.
    """
    engine = config.engine
    parameters = size(config.model, config.sizes.get("model"))
    pairs = engine.get("per_device_train_batch_size", 8) * engine.get("gradient_accumulation_steps", 1)
    return Cost(parameters, memory(parameters, engine, config.peft), float(pairs * 2 * engine.get("max_length", 1024)))
