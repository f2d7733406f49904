"""The batch: one step's rollouts, rewards kept apart."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from concord.core.errors import BatchError, MissingColumn, nearest
from concord.core.groups import Groups


@dataclass(frozen=True, eq=False)
class Rollouts:
    """One optimisation step's rollouts, scored by K rewards.

    Attributes:
        rewards: ``[N, K]`` floating point, each reward in its own units. NaN, and with it any
            non-finite score, means "not scored": it enters no statistic and spreads nowhere.
        groups: which rollouts answer the same prompt; moved to the rewards' device if elsewhere.
        names: the K distinct reward names, in column order.
        columns: further facts, each ``[N, ...]``: "lengths" (response tokens), "truncated", ...
            A stage declares those it reads in ``needs``.

    Raises:
        BatchError: shapes, dtype or names do not fit together.

    Example:
        >>> import torch
        >>> batch = Rollouts(torch.tensor([[1.0, 0.2], [0.0, 0.9]]), Groups.uniform(1, 2), ("right", "short"))
        >>> batch.rewards.shape, batch.names
        (torch.Size([2, 2]), ('right', 'short'))
    """

    rewards: Tensor
    groups: Groups
    names: tuple[str, ...]
    columns: Mapping[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.rewards, Tensor) or self.rewards.ndim != 2:
            shape = tuple(self.rewards.shape) if isinstance(self.rewards, Tensor) else type(self.rewards).__name__
            raise BatchError(f"rewards must be a tensor [rollouts, rewards], got {shape}")
        if not self.rewards.is_floating_point():
            raise BatchError(f"rewards must be floating point, got {self.rewards.dtype}; call .float()")
        count, kinds = self.rewards.shape
        if len(self.groups) != count:
            raise BatchError(f"groups cover {len(self.groups)} rollouts, rewards {count}")
        object.__setattr__(self, "groups", self.groups.to(self.rewards.device))
        object.__setattr__(self, "names", tuple(self.names))
        if len(self.names) != kinds:
            raise BatchError(f"{kinds} reward columns, but {len(self.names)} names: {self.names}")
        if twice := sorted({name for name in self.names if self.names.count(name) > 1}):
            raise BatchError(f"reward names must be distinct; used twice: {', '.join(twice)}")
        for name, column in self.columns.items():
            if not isinstance(column, Tensor) or column.shape[:1] != (count,):
                got = tuple(column.shape) if isinstance(column, Tensor) else type(column).__name__
                raise BatchError(f"column {name!r} must be a tensor of {count} rows, got {got}")

    def column(self, name: str) -> Tensor:
        """A column by name; :class:`MissingColumn` says which ones there are."""
        try:
            return self.columns[name]
        except KeyError:
            raise MissingColumn(
                f"no column {name!r}; this batch carries {sorted(self.columns)}" + nearest(name, self.columns)
            ) from None

    def with_columns(self, **columns: Tensor) -> Rollouts:
        """The same rollouts with columns added or replaced."""
        return dataclasses.replace(self, columns={**self.columns, **columns})
