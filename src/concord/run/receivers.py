"""What receives a run's options, built before anything is loaded, so that what it refuses is said at once."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from concord.core.errors import ConcordError, ConfigError, nearest
from concord.core.redaction import revealed
from concord.core.typed_options import checked

_Built = TypeVar("_Built")

_REFUSALS = (ValueError, TypeError, ArithmeticError, ImportError, NotImplementedError, OSError, KeyError)
"""What a constructor of options raises for a value that it does not take."""

_COUNTS = (
    "per_device_train_batch_size",
    "per_device_eval_batch_size",
    "gradient_accumulation_steps",
    "generation_batch_size",
    "steps_per_generation",
    "num_generations",
    "num_generations_eval",
    "num_iterations",
    "max_completion_length",
    "max_length",
)
"""Options that count something: TRL divides by them, or generates and reads so much."""

_SAMPLING = ("temperature", "top_p", "min_p", "repetition_penalty")
"""Options of sampling that transformers takes as floats only."""


@contextlib.contextmanager
def refusals(section: str, kinds: tuple[type[Exception], ...] = _REFUSALS) -> Iterator[None]:
    """Turn what a receiver of options raises into a ConfigError that names the section of the configuration."""
    try:
        yield
    except ConcordError:
        raise
    except kinds as error:
        text = str(error) or type(error).__name__
        raise ConfigError(f"{section}: {' '.join(text.split())}") from error


def trainer_arguments(kind: Callable[..., _Built], engine: Mapping[str, Any], **ours: Any) -> _Built:
    """Return TRL's arguments for a run, after what uses them has been tried on a single number.

    Secrets in the options that are named as ``env:NAME`` are taken from the environment. A token of the hub goes into
    the environment of this process, where transformers looks for it, and so into no checkpoint.

    Args:
        kind: ``trl.GRPOConfig``, or another class of arguments.
        engine: options under TRL's names.
        ours: those that other keys of the configuration set.

    Raises:
        ConfigError: an option that TRL, the optimiser, the schedule, the sampling, the data loader or a logger refuses.
    """
    options = dict(revealed({"engine": dict(engine)})["engine"])
    if token := options.pop("hub_token", None):
        os.environ["HF_TOKEN"] = token
    for name in _SAMPLING:
        if isinstance(options.get(name), int):
            options[name] = float(options[name])
    _check_numbers(options)
    with refusals("engine"):
        built = kind(**ours, **options)
    args: Any = built
    _check_loggers(args)
    _check_nested(options)
    with refusals("engine"):
        _try_optimiser(args)
        _try_loader(args)
        if hasattr(args, "max_completion_length") and not args.use_vllm:  # vLLM has parameters of its own
            _try_sampling(args)
    return built


def adapter(options: Mapping[str, Any] | None, **ours: Any) -> Any:
    """Return PEFT's ``LoraConfig``, after it has been tried on a single layer; None for None.

    Raises:
        ConfigError: an option that PEFT refuses.
    """
    if options is None:
        return None
    import torch
    from peft import LoraConfig, inject_adapter_in_model

    where_in_the_model = ("target_modules", "exclude_modules", "layers_to_transform", "layers_pattern")
    elsewhere = (*where_in_the_model, "modules_to_save", "target_parameters", "layer_replication")
    anywhere = {name: value for name, value in options.items() if name not in elsewhere}
    with refusals("peft"):
        made = LoraConfig(**{**ours, **options})
        layer = torch.nn.ModuleDict({"layer": torch.nn.Linear(64, 64)})
        if anywhere.get("init_lora_weights", True) in (True, False, "gaussian", "orthogonal"):
            inject_adapter_in_model(LoraConfig(**anywhere, target_modules=["layer"]), layer)
    return made


def _check_numbers(options: Mapping[str, Any]) -> None:
    for name in _COUNTS:
        value = options.get(name)
        if value is not None and value < 1:
            raise ConfigError(f"engine.{name}: must be a whole number from 1 up, got {value!r}")
    spans = [f"{what}_steps" for what in ("logging", "save") if options.get(f"{what}_strategy", "steps") == "steps"]
    spans += ["num_train_epochs"] if options.get("max_steps", -1) <= 0 else []
    for name in spans:
        if not 0 < options.get(name, 1) < math.inf:
            raise ConfigError(f"engine.{name}: must be a number above 0, got {options[name]!r}")


def _check_loggers(args: Any) -> None:
    from transformers.integrations.integration_utils import (
        INTEGRATION_TO_CALLBACK,
        get_available_reporting_integrations,
    )

    for name in args.report_to:
        if name not in INTEGRATION_TO_CALLBACK:
            known = ["none", "all", *INTEGRATION_TO_CALLBACK]
            raise ConfigError(
                f"engine.report_to: must be one or several of {', '.join(known)}, got {name!r}" + nearest(name, known)
            )
        if name not in get_available_reporting_integrations():
            raise ConfigError(f"engine.report_to: {name} is not installed here; install it, or leave it out")


def _check_nested(options: Mapping[str, Any]) -> None:
    """Check options within options by what receives them."""
    import torch.utils.checkpoint
    from transformers.trainer_pt_utils import AcceleratorConfig

    receivers: dict[str, Any] = {
        "accelerator_config": AcceleratorConfig,
        "gradient_checkpointing_kwargs": torch.utils.checkpoint.checkpoint,
        "activation_checkpointing_kwargs": torch.utils.checkpoint.checkpoint,
    }
    for name, receiver in receivers.items():
        if isinstance(options.get(name), dict) and (faults := checked(options[name], receiver)[1]):
            raise ConfigError(f"engine.{name}.{faults[0]}")


def _try_optimiser(args: Any) -> None:
    """Make the optimiser and the schedule for one parameter: both refuse numbers that make no sense."""
    import torch
    from transformers import Trainer, get_scheduler

    if args.optim_target_modules is not None:  # it looks for them in the model
        return
    kind, options = Trainer.get_optimizer_cls_and_kwargs(args)
    for name, value in options.items():
        for number in value if isinstance(value, tuple) else (value,):
            if isinstance(number, float) and not math.isfinite(number):
                raise ValueError(f"{'learning_rate' if name == 'lr' else name} must be finite, got {number}")
    optimiser = kind([torch.nn.Parameter(torch.zeros(1))], **{"weight_decay": args.weight_decay, **options})
    steps = args.max_steps if args.max_steps > 0 else 1000
    kwargs = args.lr_scheduler_kwargs
    get_scheduler(
        args.lr_scheduler_type,
        optimizer=optimiser,
        num_warmup_steps=args.get_warmup_steps(steps),
        num_training_steps=steps,
        scheduler_specific_kwargs=dict(kwargs) if isinstance(kwargs, dict) else kwargs,
    )


def _try_loader(args: Any) -> None:
    from torch.utils.data import DataLoader

    DataLoader(
        [0],  # type: ignore[arg-type]
        batch_size=args.per_device_train_batch_size,
        num_workers=args.dataloader_num_workers,
        prefetch_factor=args.dataloader_prefetch_factor,
        persistent_workers=args.dataloader_persistent_workers,
    )


def _try_sampling(args: Any) -> None:
    from transformers import (
        GenerationConfig,
        MinPLogitsWarper,
        RepetitionPenaltyLogitsProcessor,
        TemperatureLogitsWarper,
        TopKLogitsWarper,
        TopPLogitsWarper,
    )

    given = args.generation_kwargs or {}
    known = GenerationConfig().to_dict()
    for name in given:
        if name not in known:
            raise ConfigError(f"engine.generation_kwargs.{name}: unknown key" + nearest(str(name), known))
    sampling = {name: given.get(name, getattr(args, name)) for name in (*_SAMPLING, "top_k")}
    TemperatureLogitsWarper(sampling["temperature"])
    TopPLogitsWarper(sampling["top_p"])
    RepetitionPenaltyLogitsProcessor(sampling["repetition_penalty"])
    if sampling["top_k"]:
        TopKLogitsWarper(sampling["top_k"])
    if sampling["min_p"] is not None:
        MinPLogitsWarper(sampling["min_p"])
    GenerationConfig(**{"max_new_tokens": args.max_completion_length, **given})
