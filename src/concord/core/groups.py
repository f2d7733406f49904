"""Which rollouts answer the same prompt."""

from __future__ import annotations

import dataclasses
from array import array
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from concord.core.errors import BatchError


@dataclass(frozen=True, eq=False)
class Groups:
    """A partition of ``N`` rollouts into ``P`` prompts; ragged and interleaved allowed.

    Held as a padded table, so that a statistic over a group is a dense reduction over
    one axis: no scatter, the same bits on every run. Where the rollouts already lie in
    consecutive groups of one size, laying them out is a reshape and costs nothing.

    Attributes:
        index: ``[N]`` int64; ``index[n]`` is the group of rollout n.
        table: ``[P, G]`` int64; the rollouts of each group, padded with 0. G is the largest group.
        there: ``[P, G]`` bool; False on padding.
        slot: ``[N]`` int64; where rollout n stands in the flattened table.
        dense: whether the table is ``arange(P * G)``: consecutive groups of one size.

    Example:
        >>> groups = Groups.of(["a", "b", "a"])
        >>> groups.count, groups.index.tolist(), groups.sizes.tolist()
        (2, [0, 1, 0], [2, 1])
    """

    index: Tensor
    table: Tensor
    there: Tensor
    slot: Tensor
    dense: bool

    @classmethod
    def of(cls, ids: Sequence[Hashable]) -> Groups:
        """Group rollouts by any hashable id (ints, strings, tuples), in order of first appearance.

        A tensor of ids is refused: two tensors of one value hash differently. Pass ``ids.tolist()``.
        """
        if isinstance(ids, Tensor):
            raise BatchError("group ids must be hashable values; pass ids.tolist(), not a tensor")
        try:
            number = {key: p for p, key in enumerate(dict.fromkeys(ids))}
        except TypeError as error:
            raise BatchError(f"group ids must be hashable: {error}") from None
        if not number:
            return cls.uniform(0, 0)
        index = torch.frombuffer(array("q", map(number.__getitem__, ids)), dtype=torch.int64)
        sizes = torch.bincount(index, minlength=len(number))
        largest = int(sizes.max())
        there = torch.arange(largest) < sizes[:, None]
        order = torch.argsort(index, stable=True)  # the rollouts, group by group
        every = torch.arange(len(index))
        if largest * len(number) == len(index):
            table = order.view(len(number), largest)
            dense = bool((order == every).all())
            slot = every if dense else torch.empty_like(order).index_copy_(0, order, every)
            return cls(index, table, there, slot, dense)
        place = there.flatten().nonzero()[:, 0]  # the same rollouts' places in the padded table
        table = torch.zeros(there.numel(), dtype=torch.int64).index_copy_(0, place, order)
        slot = torch.empty_like(order).index_copy_(0, order, place)
        return cls(index, table.view_as(there), there, slot, False)

    @classmethod
    def uniform(cls, count: int, size: int) -> Groups:
        """``count`` consecutive groups of ``size`` rollouts each: TRL's layout."""
        if count < 0 or size < 0:
            raise BatchError(f"count and size must not be negative, got {count} and {size}")
        every = torch.arange(count * size)
        table = every.view(count, size)
        index = torch.arange(count).repeat_interleave(size)
        return cls(index, table, torch.ones_like(table, dtype=torch.bool), every, True)

    @property
    def count(self) -> int:
        """P, the number of groups."""
        return self.table.shape[0]

    @property
    def sizes(self) -> Tensor:
        """``[P]`` int64, the rollouts in each group."""
        return self.there.sum(1)

    def __len__(self) -> int:
        """N, the number of rollouts."""
        return self.index.shape[0]

    def lay(self, x: Tensor) -> Tensor:
        """Lay rollouts out by group: ``[N, ...] -> [P, G, ...]``; entries outside ``there`` mean nothing."""
        if self.dense:
            return x.reshape(*self.table.shape, *x.shape[1:])
        return x[self.table]

    def unlay(self, block: Tensor) -> Tensor:
        """Back to the rollouts' own order: ``[P, G, ...] -> [N, ...]``."""
        flat = block.flatten(0, 1)
        return flat if self.dense else flat[self.slot]

    def spread(self, per_group: Tensor) -> Tensor:
        """Hand each rollout its group's value: ``[P, ...] -> [N, ...]``."""
        return per_group[self.index]

    def to(self, device: torch.device | str) -> Groups:
        """The same groups on a device."""
        if self.index.device == torch.device(device):
            return self
        moved = {name: getattr(self, name).to(device) for name in ("index", "table", "there", "slot")}
        return dataclasses.replace(self, **moved)
