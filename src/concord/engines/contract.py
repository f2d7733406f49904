"""What Concord assumes of TRL, as data.

TRL's seams are private and move. Here they are in one place: the test runs :func:`check` against
the installed TRL, ``concord doctor`` prints what it finds, and the dependency range in
pyproject.toml is the range it was tested on.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import re
import warnings
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from concord.core.errors import MissingExtra

TESTED = ">=1.16,<1.17"
"""The range of TRL that the engine's tests ran on."""

MULTIMODAL = (
    "pixel_values",
    "image_grid_thw",
    "num_images",
    "pixel_attention_mask",
    "spatial_shapes",
    "num_tiles",
    "image_sizes",
    "token_type_ids",
    "mm_token_type_ids",
    "image_position_ids",
)
"""Keys of a batch that are handed to the forward pass as they are."""

METHODS: dict[str, tuple[str, ...]] = {
    "_generate": ("prompts",),
    "_calculate_rewards": ("inputs", "prompts", "completions", "completion_ids_list"),
    "_generate_and_score_completions": ("inputs",),
    "_prepare_inputs": ("generation_batch",),
    "_compute_loss": ("model", "inputs"),
    "_get_per_token_logps_and_entropies": (
        "model",
        "input_ids",
        "attention_mask",
        "logits_to_keep",
        "batch_size",
        "compute_entropy",
        "compute_aux_loss",
        *MULTIMODAL,
    ),
    "_get_train_sampler": ("dataset",),
    "_remove_unused_columns": ("dataset", "description"),
    "_save_optimizer_and_scheduler": ("output_dir",),
    "_load_optimizer_and_scheduler": ("checkpoint",),
    "_log_completion_extra": ("column", "values"),
    "_get_output_dir": ("trial",),
    "_load_from_checkpoint": ("resume_from_checkpoint",),
    "_push_from_checkpoint": ("checkpoint_folder",),
    "_run_epoch": (),
    "_save_checkpoint": ("model", "trial"),
    "create_model_card": (),
    "save_model": ("output_dir", "_internal_call"),
    "train": ("resume_from_checkpoint",),
}
"""Methods of GRPOTrainer that are overridden or called, and the parameters relied on."""

DPO_METHODS: dict[str, tuple[str, ...]] = {
    "__init__": ("model", "ref_model", "args"),
    "_compute_loss": ("model", "inputs", "return_outputs"),
    "_prepare_dataset": ("dataset", "processing_class", "args", "dataset_name"),
    "_save_optimizer_and_scheduler": ("output_dir",),
    "_load_optimizer_and_scheduler": ("checkpoint",),
    "_set_signature_columns_if_needed": (),
    "compute_ref_log_probs": ("model", "inputs"),
}
"""The same of DPOTrainer."""

ATTRIBUTES = (
    "_buffered_inputs",
    "_is_vlm",
    "_logs",
    "_metrics",
    "_step",
    "_tokenizer",
    "aux_loss_enabled",
    "beta",
    "eos_token_ids",
    "num_generations",
    "num_generations_eval",
    "num_iterations",
    "pad_to_multiple_of",
    "reward_func_names",
    "reward_weights",
    "router_aux_loss_coef",
    "temperature",
)
"""Attributes that GRPOTrainer's constructor sets."""

OUTPUT_KEYS = (
    "prompt_ids",
    "prompt_mask",
    "completion_ids",
    "completion_mask",
    "advantages",
    "old_per_token_logps",
    "ref_per_token_logps",
    "importance_sampling_ratio",
    "tool_mask",
)
"""Keys of what ``_generate_and_score_completions`` returns; the last four are there when needed."""

LOG_KEYS = ("prompt", "completion", "rewards", "advantages", "extra")
"""Keys of ``_logs``."""

HELPERS: dict[str, tuple[str, ...]] = {
    "trl.models.utils": ("disable_gradient_checkpointing",),
    "trl.trainer.utils": (
        "get_callable_name",
        "split_pixel_values_by_grid",
        "unsplit_pixel_values_by_grid",
    ),
}
"""Functions imported from TRL's modules."""

CONFIG_FIELDS: dict[str, Any] = {
    "beta": 0.0,
    "bf16": None,
    "delta": None,
    "entropy_coef": 0.0,
    "epsilon": 0.2,
    "epsilon_high": None,
    "generation_batch_size": None,
    "importance_sampling_level": "token",
    "loss_type": "dapo",
    "multi_objective_aggregation": "sum_then_normalize",
    "num_generations": 8,
    "num_iterations": 1,
    "off_policy_mask_threshold": None,
    "reward_weights": None,
    "sapo_temperature_neg": 1.05,
    "sapo_temperature_pos": 1.0,
    "scale_rewards": "group",
    "steps_per_generation": None,
    "top_entropy_quantile": 1.0,
    "use_adaptive_entropy": False,
    "use_bias_correction_kl": True,
    "vespo_k_neg": 3.0,
    "vespo_k_pos": 2.0,
    "vespo_lambda_neg": 2.0,
    "vespo_lambda_pos": 3.0,
}
"""Fields of GRPOConfig that are read or refused, with their defaults."""


def check(trainer: type | None = None, config: type | None = None) -> list[str]:
    """Compare the installed TRL with what is assumed here.

    Args:
        trainer, config: stand in for TRL's ``GRPOTrainer`` and ``GRPOConfig``, for a test.

    Returns:
        one line a difference; empty if there is none.
    """
    try:
        trl = importlib.import_module("trl")
    except ImportError as error:
        return [f"trl cannot be imported: {error}"]
    trainer = trl.GRPOTrainer if trainer is None else trainer
    return [
        *_methods(trainer, "GRPOTrainer", METHODS),
        *_methods(trl.DPOTrainer, "DPOTrainer", DPO_METHODS),
        *_names(trainer),
        *_fields(trl.GRPOConfig if config is None else config),
        *_helpers(),
    ]


def require() -> None:
    """Let a tested TRL pass, warn of an untested one that looks alike, refuse one that differs.

    Raises:
        MissingExtra: TRL is not installed, or it differs from what is assumed here.
    """
    try:
        installed = version("trl")
    except PackageNotFoundError:
        raise MissingExtra.of("train", "trl") from None
    from packaging.specifiers import SpecifierSet  # comes with transformers

    if installed in SpecifierSet(TESTED):
        return
    if differences := check():
        raise MissingExtra(
            f"trl {installed} differs from the tested range {TESTED}: {'; '.join(differences)}; "
            "run: pip install 'concord-rl[train]'"
        )
    warnings.warn(
        f"trl {installed} is outside the tested range {TESTED}; its seams look the same, but nothing was tested",
        stacklevel=3,
    )


def _methods(trainer: type, called: str, assumed: dict[str, tuple[str, ...]]) -> list[str]:
    found = []
    for name, expected in assumed.items():
        method = getattr(trainer, name, None)
        if method is None:
            found.append(f"{called} has no method {name}")
            continue
        parameters = inspect.signature(method).parameters
        found += [f"{called}.{name} has no parameter {p!r}" for p in expected if p not in parameters]
    return found


def _names(trainer: type) -> list[str]:
    """What the source must mention: attributes set, keys returned and logged."""
    constructor, generate = _source(trainer, "__init__"), _source(trainer, "_generate_and_score_completions")
    return [
        *(
            f"GRPOTrainer sets no attribute {name}"
            for name in ATTRIBUTES
            if not re.search(rf"self\.{name}\b", constructor)
        ),
        *(
            f"_generate_and_score_completions returns no {key!r}"
            for key in OUTPUT_KEYS
            if f'"{key}":' not in generate and f'output["{key}"]' not in generate
        ),
        *(f"_logs has no {key!r}" for key in LOG_KEYS if f'"{key}":' not in constructor),
    ]


def _source(trainer: type, method: str) -> str:
    return inspect.getsource(getattr(trainer, method)) if hasattr(trainer, method) else ""


def _fields(config: type) -> list[str]:
    defaults = {f.name: f.default for f in dataclasses.fields(config)}
    return [
        f"GRPOConfig has no field {name}"
        if name not in defaults
        else f"GRPOConfig.{name} is {defaults[name]!r} by default, not {expected!r}"
        for name, expected in CONFIG_FIELDS.items()
        if name not in defaults or defaults[name] != expected
    ]


def _helpers() -> list[str]:
    return [
        f"{module} has no {name}"
        for module, wanted in HELPERS.items()
        for name in wanted
        if not hasattr(importlib.import_module(module), name)
    ]
