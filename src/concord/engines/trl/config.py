"""GRPOConfig with a method."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from trl import GRPOConfig

from concord.core.catalogue import builder
from concord.core.errors import ConfigError, nearest
from concord.methods import Method, create
from concord.objectives import Kl

_NOT_HERE = "it belongs to a loss that no method here has; leave it at its default"

REPLACED = {
    "loss_type": "the method brings its own loss: choose it with method=",
    "scale_rewards": "the method brings its own scaling: method='grpo', 'dr_grpo' (none) or 'lite_ppo' (batch)",
    "multi_objective_aggregation": "method='gdpo' normalises, then sums; method='grpo' sums, then normalises",
    "epsilon": "give the clip to the method: method_args={'clip': ...} or {'clip_low': ...}",
    "epsilon_high": "give the clip to the method: method='dapo', method_args={'clip_high': ...}",
    "delta": "numerics='verl' in method_args has a dual clip",
    "importance_sampling_level": "method='gspo' has one ratio a response",
    "use_bias_correction_kl": "the penalty is GRPO's k3, not multiplied by the ratio",
    "sapo_temperature_neg": _NOT_HERE,
    "sapo_temperature_pos": _NOT_HERE,
    "vespo_k_pos": _NOT_HERE,
    "vespo_lambda_pos": _NOT_HERE,
    "vespo_k_neg": _NOT_HERE,
    "vespo_lambda_neg": _NOT_HERE,
    "top_entropy_quantile": "no method here masks tokens by entropy; leave it at its default",
    "entropy_coef": "method='rapo' has an entropy bonus, method_args={'entropy': ...}; other methods have none",
    "use_adaptive_entropy": "no method here adapts an entropy bonus; leave it at its default",
    "off_policy_mask_threshold": "no method here masks off-policy responses; leave it at its default",
}
"""TRL's options that the method decides instead, and what to use in their place."""


@dataclass
class ConcordConfig(GRPOConfig):  # type: ignore[misc]
    """TRL's ``GRPOConfig``, with the method that turns rewards into advantages and a loss.

    Args:
        method: a registered method; ``concord methods`` lists them.
        method_args: its parameters, as in ``concord.create(method, **method_args)``. The weights of
            the rewards stand here by name (``{"weights": {"format": 0.5}}``) or in TRL's
            ``reward_weights``, not in both.
        refill_rounds: how often, at most, groups that the method left empty are replaced by groups
            of further prompts (DAPO's dynamic sampling); 0 = never.
        dump: folder for the rollouts of every generation step; None = not written.
        config_hash: written beside them, to tell runs apart; empty = none.

    ``beta`` is the coefficient of a KL penalty in the method's loss: GRPO's k3 estimate against
    TRL's reference model. TRL 1.16 multiplies the estimate by the ratio
    (``use_bias_correction_kl``); here it is not. For a method that reads the reference model itself
    (``copg``, ``rapo``) it is the method's own ``beta``. ``bf16`` left open is off where there is no
    accelerator. All other options are TRL's own.

    Raises:
        ConfigError: an unknown parameter of the method; an option of TRL that the method decides;
            optimisation steps that would mix generation batches.
        UnknownName: no such method.
    """

    _VALID_DICT_FIELDS: ClassVar[list[str]] = [*GRPOConfig._VALID_DICT_FIELDS, "method_args"]

    method: str = field(default="gd2po", metadata={"help": "Method that turns rewards into advantages."})
    method_args: dict[str, Any] | str | None = field(
        default=None, metadata={"help": "Parameters of the method; on a command line as JSON."}
    )
    refill_rounds: int = field(
        default=0, metadata={"help": "Rounds of sampling further prompts for groups left empty."}
    )
    dump: str | None = field(default=None, metadata={"help": "Folder for the rollouts of every generation step."})
    config_hash: str = field(default="", metadata={"help": "Written beside the rollouts, to tell runs apart."})
    use_bias_correction_kl: bool = field(
        default=False, metadata={"help": "Not available: the KL penalty is not multiplied by the ratio."}
    )

    def __post_init__(self) -> None:
        self.bf16: bool | None
        if self.bf16 is None and (self.use_cpu or not torch.accelerator.is_available()):
            self.bf16 = False
        super().__post_init__()
        defaults = {f.name: f.default for f in dataclasses.fields(self)}
        for name, instead in REPLACED.items():
            if (value := getattr(self, name)) != defaults[name]:
                raise ConfigError(f"{name}={value!r} would have no effect: {instead}")
        if self.refill_rounds < 0:
            raise ConfigError(f"refill_rounds must not be negative, got {self.refill_rounds}")
        if self.steps_per_generation % self.gradient_accumulation_steps:
            raise ConfigError(
                f"steps_per_generation ({self.steps_per_generation}) must be a multiple of "
                f"gradient_accumulation_steps ({self.gradient_accumulation_steps}): else one optimisation "
                "step mixes two generation batches, and its denominators are not known when it begins"
            )
        self.build()

    def build(self, weights: Mapping[str, float] | None = None) -> Method:
        """The method, with ``beta``'s penalty; with weights by reward name in place of those given here."""
        parameters = dict(self._parameters)
        if self.reward_weights is not None and "weights" in parameters:
            raise ConfigError("weights are given twice: in reward_weights and in method_args['weights']")
        known = inspect.signature(builder(self.method)).parameters
        # A method from elsewhere may not weigh rewards, which is no matter where there is nothing to weigh.
        if weights is not None and ("weights" in known or any(weight != 1 for weight in weights.values())):
            parameters["weights"] = dict(weights)
        for name in parameters:
            if name not in known:
                raise ConfigError(f"method {self.method!r} has no parameter {name!r}" + nearest(name, known))
        method = create(self.method, **parameters)
        if method.objective.needs_reference:
            return self._with_reference(parameters, "beta" in known)
        if self.beta:
            return dataclasses.replace(method, objective=method.objective.with_penalty(Kl(self.beta)))
        return method

    def _with_reference(self, parameters: dict[str, Any], has_beta: bool) -> Method:
        """A method that reads the reference model itself: TRL loads one for its own ``beta``, which is the method's."""
        if not has_beta:
            raise ConfigError(f"method {self.method!r} brings a KL penalty of its own; give its coefficient as beta=")
        if "beta" in parameters or not self.beta:
            raise ConfigError(
                f"method {self.method!r} reads a reference model, which TRL loads for its own beta: give that one, "
                "above 0, and none in method_args"
            )
        return create(self.method, **parameters | {"beta": self.beta})

    def weights(self, rewards: Sequence[str]) -> dict[str, float]:
        """The weights given here, by reward name; a reward that is not named has weight 1."""
        if self.reward_weights is not None:
            return dict(zip(rewards, self.reward_weights, strict=False))
        return {name: float(weight) for name, weight in dict(self._parameters.get("weights", ())).items()}

    @property
    def _parameters(self) -> dict[str, Any]:
        parameters = {} if self.method_args is None else self.method_args
        if not isinstance(parameters, dict):
            raise ConfigError(f"method_args must be a mapping, got {parameters!r}")
        return parameters
