"""What a loss over preference pairs reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from concord.core.errors import BatchError, MissingColumn


@dataclass(frozen=True, eq=False)
class Responses:
    """B responses, each to a prompt of its own.

    Attributes:
        logp: ``[B]`` log-probabilities (nats), summed over the response's tokens, under the policy in training;
            carries the gradient.
        lengths: ``[B]`` tokens that were summed.
        ref_logp: ``[B]`` the same sums under the reference policy, where a score reads them.
    """

    logp: Tensor
    lengths: Tensor
    ref_logp: Tensor | None = None

    def __post_init__(self) -> None:
        if self.logp.ndim != 1:
            raise BatchError(f"logp must be [pairs], summed over tokens, got {tuple(self.logp.shape)}")
        for name in ("lengths", "ref_logp"):
            tensor = getattr(self, name)
            if tensor is not None and tensor.shape != self.logp.shape:
                raise BatchError(f"{name} must be {tuple(self.logp.shape)} like logp, got {tuple(tensor.shape)}")

    @property
    def tokens(self) -> Tensor:
        """``[B]`` lengths to divide by: at least 1, for a response of which truncation left nothing."""
        return self.lengths.clamp(min=1).to(self.logp.dtype)


@dataclass(frozen=True, eq=False)
class PairBatch:
    """A micro-batch of B preference pairs.

    Attributes:
        chosen, rejected: the responses, pair by pair.
        columns: further facts about each pair, each ``[B]``: a teacher's rewards, a remembered label.
    """

    chosen: Responses
    rejected: Responses
    columns: Mapping[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        shape = self.chosen.logp.shape
        if self.rejected.logp.shape != shape:
            raise BatchError(f"{len(self.chosen.logp)} chosen responses, {len(self.rejected.logp)} rejected ones")
        for name, column in self.columns.items():
            if column.shape != shape:
                raise BatchError(f"column {name!r} must be {tuple(shape)}, got {tuple(column.shape)}")

    def column(self, name: str) -> Tensor:
        """A column.

        Raises: MissingColumn, which names those that there are.
        """
        if name not in self.columns:
            raise MissingColumn(f"the loss reads column {name!r}; these pairs carry {sorted(self.columns)}")
        return self.columns[name]
