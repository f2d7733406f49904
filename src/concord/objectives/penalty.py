"""What is added to the surrogate, token by token."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

from torch import Tensor

from concord.core.errors import BatchError, ConfigError
from concord.functional.kl import k1, k2, k3
from concord.objectives.batch import PolicyBatch


class Penalty(Protocol):
    """``[B, T]``, added to the loss of each token."""

    needs_reference: ClassVar[bool]
    """Whether it reads ``ref_logp``."""

    def __call__(self, batch: PolicyBatch) -> Tensor: ...


_ESTIMATORS = {"k1": k1, "k2": k2, "k3": k3}


@dataclass(frozen=True)
class Kl:
    """``beta`` times an estimate of KL(policy || reference): ``[B, T]``, in nats.

    Source: k3 in GRPO, arXiv:2402.03300; see :mod:`concord.functional.kl`. verl also clamps k3's
    value to 10, which here the bound on the log ratio leaves to the optimiser's gradient clipping.

    Raises: ConfigError for a negative beta or an unknown estimator; BatchError without ``ref_logp``.
    """

    needs_reference: ClassVar[bool] = True
    beta: float
    estimator: Literal["k1", "k2", "k3"] = "k3"

    def __post_init__(self) -> None:
        if self.beta < 0:
            raise ConfigError(f"beta must not be negative, got {self.beta}")
        if self.estimator not in _ESTIMATORS:
            raise ConfigError(f"estimator must be one of {', '.join(_ESTIMATORS)}, got {self.estimator!r}")

    def __call__(self, batch: PolicyBatch) -> Tensor:
        if batch.ref_logp is None:
            raise BatchError("the KL penalty needs ref_logp in the PolicyBatch")
        return self.beta * _ESTIMATORS[self.estimator](batch.logp, batch.ref_logp)
