"""From the rows of the V1 trainers' batch to rollouts, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Sessions:
    """The rollouts in a batch of the V1 trainers, whose rows are the outputs of agent loops.

    An agent loop may give several outputs for one rollout, rows ``{uid}_{session}_{index}``: one score, read from the
    last of them, and one advantage, for the tokens of all. Rows that verl adds to fill its mini-batches up copy what
    the first row says of its rewards; they are marked, and belong to no rollout.

    Attributes:
        uids: of each rollout's prompt.
        last: the row of each rollout's last output.
        of: ``[rows]`` int64, the rollout that a row belongs to; -1 = none.
    """

    uids: tuple[str, ...]
    last: tuple[int, ...]
    of: Tensor

    @classmethod
    def read(cls, keys: Sequence[str], tags: Sequence[Mapping[str, Any]]) -> Sessions:
        """From the keys and tags of a ``KVBatchMeta``.

        Example:
            >>> tags = [{}, {}, {}, {"is_padding": True}]
            >>> read = Sessions.read(["a_0_0", "a_1_0", "a_0_1", "pad9_0_0"], tags)
            >>> read.uids, read.last, read.of.tolist()
            (('a', 'a'), (2, 1), [0, 1, 0, -1])
        """
        number: dict[str, int] = {}
        last: list[tuple[int, int]] = []  # index of the output, and its row
        of: list[int] = []
        for row, (key, tag) in enumerate(zip(keys, tags, strict=True)):
            if tag.get("is_padding", False):
                of.append(-1)
                continue
            session, _, index = key.rpartition("_")
            if session not in number:
                number[session] = len(last)
                last.append((-1, row))
            rollout = number[session]
            last[rollout] = max(last[rollout], (int(index), row))
            of.append(rollout)
        uids = tuple(session.rpartition("_")[0] for session in number)
        return cls(uids, tuple(row for _, row in last), torch.tensor(of, dtype=torch.int64))

    def sum(self, per_row: Tensor) -> Tensor:
        """Add up over a rollout's outputs: ``[rows] -> [N]``."""
        there = self.of >= 0
        return per_row.new_zeros(len(self.uids)).index_add(0, self.of[there], per_row[there])

    def spread(self, per_rollout: Tensor) -> Tensor:
        """Hand each row its rollout's value, 0 to rows that have none: ``[N] -> [rows]``."""
        padded = torch.cat([per_rollout, per_rollout.new_zeros(1)])
        return padded[self.of]  # -1 is the last
