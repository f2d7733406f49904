"""Which rollouts answer the same prompt."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import count

import numpy as np
import torch
from torch import Tensor

from concord.core.errors import BatchError


@dataclass(frozen=True, eq=False)
class Groups:
    """A partition of ``N`` rollouts into ``P`` prompts; ragged and interleaved allowed.

    Held as a padded table, so that a statistic over a group is a dense reduction over
    one axis: no scatter, the same bits on every run. The members are the leading axis, and in memory
    the prompts are the last one, so that reductions over members and over channels both run along
    memory. Where the rollouts already lie in consecutive groups of one size, laying them out is a transpose.

    Attributes:
        index: ``[N]`` int64; ``index[n]`` is the group of rollout n.
        table: ``[G, P]`` int64; the rollouts of each group, padded with 0. G is the largest group.
        there: ``[G, P]`` bool; False on padding.
        slot: ``[N]`` int64; where rollout n stands in the flattened table.
        dense: whether the groups are consecutive and of one size.

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
        # A key that is new gets the next number: one pass over the ids.
        number: defaultdict[Hashable, int] = defaultdict(count().__next__)
        try:
            index = torch.from_numpy(np.fromiter(map(number.__getitem__, ids), np.int64, len(ids)))
        except TypeError as error:
            raise BatchError(f"group ids must be a sequence of hashable values: {error}") from None
        if not number:
            return cls.uniform(0, 1)
        sizes = torch.bincount(index, minlength=len(number))
        largest = int(sizes.max())
        if len(index) == len(number) * largest:
            uniform = cls.uniform(len(number), largest)
            if torch.equal(uniform.index, index):
                return uniform
        # Sorted by group, rollout n is member (rank - first of its group) of its group.
        order = torch.argsort(index, stable=True)
        rank = torch.arange(len(index)) - (sizes.cumsum(0) - sizes)[index[order]]
        place = rank * len(number) + index[order]
        table = torch.zeros(largest * len(number), dtype=torch.int64).index_copy_(0, place, order)
        slot = torch.empty_like(order).index_copy_(0, order, place)
        there = torch.arange(largest)[:, None] < sizes
        return cls(index, table.view_as(there), there, slot, False)

    @classmethod
    def uniform(cls, count: int, size: int) -> Groups:
        """``count`` consecutive groups of ``size`` rollouts each: TRL's layout."""
        if count < 0 or size < 1:
            raise BatchError(f"need count >= 0 groups of size >= 1, got count {count} and size {size}")
        table = torch.arange(count * size).view(count, size).T
        index = torch.arange(count).repeat_interleave(size)
        slot = torch.arange(count * size).view(size, count).T.flatten()
        return cls(index, table, torch.ones_like(table, dtype=torch.bool), slot, True)

    @property
    def count(self) -> int:
        """P, the number of groups."""
        return self.table.shape[1]

    @property
    def sizes(self) -> Tensor:
        """``[P]`` int64, the rollouts in each group."""
        return self.there.sum(0)

    def __len__(self) -> int:
        """N, the number of rollouts."""
        return self.index.shape[0]

    def lay(self, x: Tensor) -> Tensor:
        """Lay rollouts out by group: ``[N, ...] -> [G, P, ...]``; entries outside ``there`` mean nothing."""
        return self.lay_last(x).movedim((-2, -1), (0, 1))

    def unlay(self, block: Tensor) -> Tensor:
        """Back to the rollouts' own order: ``[G, P, ...] -> [N, ...]``."""
        return self.unlay_last(block.movedim((0, 1), (-2, -1)))

    def lay_last(self, x: Tensor) -> Tensor:
        """As :meth:`lay`, with groups as the last axes: ``[N, ...] -> [..., G, P]``, contiguous."""
        flat = x.movedim(0, -1)
        members, count = self.table.shape
        if self.dense:
            return flat.reshape(*flat.shape[:-1], count, members).transpose(-1, -2).contiguous()
        return flat.index_select(-1, self.table.flatten()).reshape(*flat.shape[:-1], members, count)

    def unlay_last(self, block: Tensor) -> Tensor:
        """Back from :meth:`lay_last`: ``[..., G, P] -> [N, ...]``."""
        if self.dense:
            return block.transpose(-1, -2).flatten(-2).movedim(-1, 0)
        return block.flatten(-2).index_select(-1, self.slot).movedim(-1, 0)

    def spread(self, per_group: Tensor) -> Tensor:
        """Hand each rollout its group's value: ``[P, ...] -> [N, ...]``."""
        last = per_group.movedim(0, -1)
        if self.dense:
            members = self.table.shape[0]
            return last.unsqueeze(-1).expand(*last.shape, members).flatten(-2).movedim(-1, 0)
        return last.index_select(-1, self.index).movedim(-1, 0)

    def to(self, device: torch.device | str) -> Groups:
        """The same groups on a device."""
        if self.index.device == torch.device(device):
            return self
        moved = {name: getattr(self, name).to(device) for name in ("index", "table", "there", "slot")}
        return dataclasses.replace(self, **moved)
