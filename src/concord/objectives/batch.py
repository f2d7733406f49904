"""What a policy loss reads, and the denominators it divides by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from concord.core.errors import BatchError, MissingColumn

Statistic = Literal["entropy", "mean_logp"]
"""What a loss may read of the policy's whole distribution at a token; fields of :class:`PolicyBatch`."""


@dataclass(frozen=True, eq=False)
class PolicyBatch:
    """A micro-batch for the loss: B rollouts, T response positions.

    Attributes:
        logp: ``[B, T]`` log-probabilities (nats) under the policy in training; carries the gradient.
        old_logp: ``[B, T]`` under the policy in the ratio's denominator.
        advantages: ``[B]``, or ``[B, T]`` where they differ along a response.
        mask: ``[B, T]`` bool, True on the tokens that the policy sampled.
        ref_logp: ``[B, T]`` under the reference policy, where a penalty reads it.
        weights: ``[B, T]`` or ``[B, 1]`` importance weights that correct for a sampler whose
            probabilities differ from ``old_logp``'s (vLLM against the trainer).
        columns: what the method's chain wrote for its loss, each ``[B]`` or ``[B, T]``.
        groups: ``[B]`` int64, rollouts of one prompt have one number; for losses over whole groups.
        entropy: ``[B, T]``, nats, of the policy in training at each token; without gradient.
        mean_logp: ``[B, T]``, the mean over the vocabulary of its log-probabilities there; without gradient.
    """

    logp: Tensor
    old_logp: Tensor
    advantages: Tensor
    mask: Tensor
    ref_logp: Tensor | None = None
    weights: Tensor | None = None
    columns: Mapping[str, Tensor] = field(default_factory=dict)
    groups: Tensor | None = None
    entropy: Tensor | None = None
    mean_logp: Tensor | None = None

    def __post_init__(self) -> None:
        shape = self.logp.shape
        if len(shape) != 2:
            raise BatchError(f"logp must be [rollouts, tokens], got {tuple(shape)}")
        for name in ("old_logp", "mask", "ref_logp", "entropy", "mean_logp"):
            tensor = getattr(self, name)
            if tensor is not None and tensor.shape != shape:
                raise BatchError(f"{name} must be {tuple(shape)} like logp, got {tuple(tensor.shape)}")
        if self.mask.dtype != torch.bool:
            raise BatchError(f"mask must be bool, got {self.mask.dtype}; call .bool()")
        if self.advantages.shape not in (shape[:1], shape):
            raise BatchError(f"advantages must be [{shape[0]}] or {tuple(shape)}, got {tuple(self.advantages.shape)}")

    def column(self, name: str) -> Tensor:
        """What the method's chain wrote under that name.

        Raises:
            MissingColumn: it wrote none.
        """
        if name not in self.columns:
            raise MissingColumn(f"the loss reads column {name!r}; this batch carries {sorted(self.columns)}")
        return self.columns[name]

    def statistic(self, name: Statistic) -> Tensor:
        """``[B, T]``, without gradient: ``entropy`` or ``mean_logp``.

        Raises:
            BatchError: the engine has not measured it.
        """
        found: Tensor | None = getattr(self, name)
        if found is None:
            raise BatchError(f"the loss reads the policy's {name}, which this PolicyBatch does not carry")
        return found.detach()


class Totals(NamedTuple):
    """Denominators of the whole optimisation step, over micro-batches and processes.

    With these the losses of the micro-batches add up to the loss of the batch, exactly; with each
    micro-batch's own they would not.
    """

    tokens: Tensor | int
    sequences: Tensor | int

    @classmethod
    def of(cls, mask: Tensor) -> Totals:
        """Those of a batch that is a whole step by itself."""
        return cls(mask.sum(), mask.shape[0])


@dataclass(frozen=True, eq=False)
class Mean:
    """A metric as (total, weight): add over micro-batches and processes, divide once."""

    total: Tensor
    weight: Tensor

    def __add__(self, other: Mean) -> Mean:
        return Mean(self.total + other.total, self.weight + other.weight)

    def value(self) -> Tensor:
        """``total / weight``, 0 if nothing was counted."""
        return self.total / self.weight.clamp(min=1)
