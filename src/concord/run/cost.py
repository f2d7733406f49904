"""What a run will cost, estimated from its configuration alone."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from concord.core.errors import ConfigError
from concord.engines.defaults import GRPO
from concord.run.config import RunConfig
from concord.run.paths import model_source

_READ = (
    "beta",
    "gradient_accumulation_steps",
    "max_completion_length",
    "model_init_kwargs",
    "per_device_train_batch_size",
)


@dataclass(frozen=True)
class Cost:
    """An estimate.

    Attributes:
        parameters: of the model that is trained; None = not known.
        memory: bytes of weights, gradients and the optimiser's state, over all devices; None = not known. Activations,
            caches, and vLLM's own copy of the weights come on top.
        tokens: of one update, prompts and completions at their limits; without the prompts where they have no limit;
            None = not known, since completions have none.
    """

    parameters: float | None
    memory: float | None
    tokens: float | None


def estimate(config: RunConfig) -> Cost:
    """The cost of a run's configuration.

        memory = 4 w P + w P if there is a reference model + 2 bytes for each parameter of a reward model
        memory = w P + the same                                with LoRA, whose own parameters are few
        tokens = rollouts of an update * (prompt limit + completion limit)

    P is the number of parameters and w the bytes of one: 4 as TRL loads models unless told otherwise, 2 with
    ``engine.model_init_kwargs.dtype: bfloat16``; AdamW keeps two more numbers for each, and the gradient is a fourth.
    A reference model is there with ``engine.beta`` above 0, and not with LoRA. An option that the run does not set has
    TRL's default.

    Raises:
        MissingExtra: such a default is needed, and TRL is not installed.
    """
    engine = GRPO.read_all(config.engine, _READ)
    parameters = size(config.model, config.sizes.get("model"))
    reference = bool(engine["beta"]) and config.peft is None
    rewards = [size(r.model, config.sizes.get(name)) for name, r in config.rewards.items() if r.model is not None]
    rollouts = engine["per_device_train_batch_size"] * engine["gradient_accumulation_steps"]
    prompt, completion = config.data.max_prompt_tokens or 0, engine["max_completion_length"]
    return Cost(
        parameters,
        memory(parameters, engine["model_init_kwargs"], config.peft, reference, rewards),
        None if completion is None else float(rollouts * (prompt + completion)),
    )


def memory(
    parameters: float | None,
    loading: Mapping[str, Any] | None,
    peft: Mapping[str, Any] | None,
    reference: bool = False,
    rewards: list[float | None] | None = None,
) -> float | None:
    """Bytes, as :func:`estimate` has them; None where a number of parameters is not known.

    Args:
        parameters: of the model that is trained.
        loading: ``engine.model_init_kwargs``.
        peft: of the run; None = all weights are trained.
        reference: whether there is a reference model.
        rewards: parameters of each reward that is a model.
    """
    known = [size for size in rewards or [] if size is not None]
    if parameters is None or len(known) < len(rewards or []):
        return None
    half = (loading or {}).get("dtype") in ("bfloat16", "float16")
    copies = (4 if peft is None else 1) + reference
    return copies * (2 if half else 4) * parameters + 2 * sum(known)


def size(model: str, given: float | None) -> float | None:
    """Parameters of a model: counted where it is on disk, else as given."""
    try:
        folder = Path(model_source(model))
    except ConfigError:  # a folder that is not there yet
        return given
    return count(folder) if folder.is_dir() else given


def count(folder: Path) -> float | None:
    """Numbers in the safetensors of a folder, from their headers; None where there are none.

    Example:
        >>> count(Path(model_source("builtin:tool_task/seed0")))
        137216.0
    """
    files = sorted(folder.glob("*.safetensors"))
    return float(sum(map(_numbers, files))) if files else None


def _numbers(file: Path) -> int:
    with file.open("rb") as opened:
        (size,) = struct.unpack("<Q", opened.read(8))
        header = json.loads(opened.read(size))
    return sum(math.prod(tensor["shape"]) for name, tensor in header.items() if name != "__metadata__")
