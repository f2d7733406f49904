"""DPOConfig with a method."""

from __future__ import annotations

import dataclasses
import inspect
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from trl import DPOConfig

from concord.core.catalogue import builder, info
from concord.core.errors import ConfigError, nearest
from concord.objectives import PreferenceObjective

REPLACED = {
    "loss_type": "the method brings its own loss: method='dpo' (sigmoid), 'ipo', 'rpo_tokens' (sigmoid and sft)",
    "loss_weights": "method='rpo_tokens' adds TRL's sft loss, with method_args={'coef': ...}",
    "label_smoothing": "method='cdpo' has a share of flipped labels, method_args={'eps': ...}",
    "f_divergence_type": "the methods here have DPO's own log-ratio; leave it at its default",
    "f_alpha_divergence_coef": "the methods here have DPO's own log-ratio; leave it at its default",
    "ld_alpha": "no method here weighs the tail of the longer response; leave it at its default",
    "use_weighting": "no method here weighs pairs by their likelihood; leave it at its default",
    "discopop_tau": "it belongs to a loss that no method here has; leave it at its default",
}
"""TRL's options that the method decides instead, and what to use in their place."""


@dataclass
class ConcordDPOConfig(DPOConfig):  # type: ignore[misc]
    """TRL's ``DPOConfig``, with the method whose loss is trained.

    Args:
        method: a registered method of the kind "preference"; ``concord methods`` lists them.
        method_args: its parameters, as in ``concord.methods.dpo(beta=0.1)``.
        beta: the method's parameter of this name, if it is not in ``method_args``; None = the method's default.

    ``bf16`` left open is off where there is no accelerator. All other options are TRL's own.

    Raises:
        ConfigError: a method of another kind; an unknown parameter of it; an option of TRL that the method decides, or
            that has no meaning for a loss without a reference.
        UnknownName: no such method.
    """

    _VALID_DICT_FIELDS: ClassVar[list[str]] = [*DPOConfig._VALID_DICT_FIELDS, "method_args"]

    method: str = field(default="dpo", metadata={"help": "Method whose loss is trained."})
    method_args: dict[str, Any] | str | None = field(
        default=None, metadata={"help": "Parameters of the method; on a command line as JSON."}
    )
    beta: float | None = field(default=None, metadata={"help": "The method's beta; None = its default."})

    def __post_init__(self) -> None:
        self.bf16: bool | None
        if self.bf16 is None and (self.use_cpu or not torch.accelerator.is_available()):
            self.bf16 = False
        super().__post_init__()
        for option in dataclasses.fields(DPOConfig):
            if option.name not in REPLACED:
                continue
            default = option.default
            if option.default_factory is not dataclasses.MISSING:
                default = option.default_factory()
            if (value := getattr(self, option.name)) != default:
                raise ConfigError(f"{option.name}={value!r} would have no effect: {REPLACED[option.name]}")
        objective = self.build()
        self.beta = objective.loss.beta
        for name in ("sync_ref_model", "precompute_ref_log_probs"):
            if getattr(self, name) and not objective.needs_reference:
                raise ConfigError(f"{name} would have no effect: method {self.method!r} reads no reference policy")

    def build(self) -> PreferenceObjective:
        """The method's objective."""
        parameters = {} if self.method_args is None else self.method_args
        if not isinstance(parameters, dict):
            raise ConfigError(f"method_args must be a mapping, got {parameters!r}")
        if self.beta is not None:
            if parameters.get("beta", self.beta) != self.beta:
                raise ConfigError(f"beta is given twice: {self.beta}, and {parameters['beta']} in method_args")
            parameters = {**parameters, "beta": self.beta}
        build, kind = builder(self.method), info(self.method).kind
        if kind != "preference":
            raise ConfigError(
                f"{self.method!r} is not a preference loss but of the kind {kind!r}; see `concord methods`"
            )
        known = inspect.signature(build).parameters
        for name in parameters:
            if name not in known:
                raise ConfigError(f"method {self.method!r} has no parameter {name!r}" + nearest(name, known))
        objective = build(**parameters)
        if not isinstance(objective, PreferenceObjective):
            raise ConfigError(f"method {self.method!r} built a {type(objective).__name__}, not a PreferenceObjective")
        return objective
