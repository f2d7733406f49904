"""Dynamic sampling: further prompts for the groups that a method left empty."""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from concord.core.groups import Groups
from concord.core.rollouts import Rollouts
from concord.engines.trl.rows import Batch, splice, widen


@dataclass
class PromptStream:
    """Further prompts: a seeded walk through the data of its own, beside the sampler's.

    A new permutation each time the data is through. ``drawn`` is all its state, so it checkpoints
    with the run; every process draws the same.
    """

    data: Sequence[dict[str, Any]]
    seed: int
    drawn: int = 0

    def take(self, count: int) -> list[dict[str, Any]]:
        """The next ``count`` examples."""
        size = len(self.data)
        turns = (divmod(position, size) for position in range(self.drawn, self.drawn + count))
        self.drawn += count
        return [self.data[_walk(size, self.seed, turn)[place]] for turn, place in turns]


@functools.lru_cache(maxsize=2)
def _walk(size: int, seed: int, turn: int) -> list[int]:
    # The sampler's own walk is seeded with the seed itself.
    generator = torch.Generator().manual_seed(seed + 7919 * (turn + 1))
    return torch.randperm(size, generator=generator).tolist()


def fitting(empty: int, size: int, processes: int) -> int:
    """How many prompts to draw for ``empty`` groups: enough, and the same number of rollouts a process."""
    return next(count for count in range(empty, empty + processes) if count * size % processes == 0)


def share(examples: list[dict[str, Any]], size: int, accelerator: Any) -> list[dict[str, Any]]:
    """This process's part of ``size`` rollouts for each example, in gathered order."""
    rows = [example for example in examples for _ in range(size)]
    part = len(rows) // accelerator.num_processes
    start = accelerator.process_index * part
    return [dict(row) for row in rows[start : start + part]]


def rows(groups: list[tuple[int, int]], size: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """The gathered rows to replace, and the fresh rows to put there, for pairs of old and fresh group."""
    pairs = torch.tensor(groups, dtype=torch.long, device=device).view(-1, 2).T
    to, source = (pairs[:, :, None] * size + torch.arange(size, device=device)).flatten(1)
    return to, source


def merge(batch: Rollouts, fresh: Rollouts, to: Tensor, source: Tensor) -> Rollouts:
    """Gathered rollouts, with rows ``to`` replaced by the fresh rows ``source``."""

    def put(name: str, old: Tensor, new: Tensor) -> Tensor:
        if old.shape[1:] != new.shape[1:]:  # along the tokens of the longest response
            width = max(old.shape[1], new.shape[1])
            old, new = widen(name, old, width, 0), widen(name, new, width, 0)
        kind = torch.promote_types(old.dtype, new.dtype)  # the user's numbers may be whole ones in one round only
        return old.to(kind).index_copy(0, to, new.to(kind)[source])

    columns = {name: put(name, column, fresh.column(name)) for name, column in batch.columns.items()}
    groups: Groups = batch.groups  # the places stay, only who stands there changes
    return Rollouts(put("rewards", batch.rewards, fresh.rewards), groups, batch.names, columns, batch.noise_floor)


def put_back(batch: Batch, fresh: Batch, to: Tensor, source: Tensor, pad_id: int, accelerator: Any) -> Batch:
    """This process's part of the batch, with its share of the fresh rows wherever they were generated."""
    count = batch["prompt_ids"].shape[0]
    mine = to.div(count, rounding_mode="floor") == accelerator.process_index
    return splice(batch, _everywhere(fresh, pad_id, accelerator), to[mine] % count, source[mine], pad_id)


def _everywhere(batch: Batch, pad_id: int, accelerator: Any) -> Batch:
    """The rows of all processes, in gathered order, padded to one width."""
    if accelerator.num_processes == 1:
        return batch

    def gathered(key: str, value: Tensor) -> Any:
        if value.ndim > 1:
            widths = accelerator.gather(torch.tensor([value.shape[1]], device=value.device))
            value = widen(key, value, int(widths.max()), pad_id)
        return accelerator.gather(value)

    return {key: gathered(key, value) if value.ndim else value for key, value in batch.items()}


class Journal:
    """TRL's log of one generation step, kept true while groups are replaced.

    Metrics stay those of the first round: the prompts as sampled, without selection. The table of
    completions becomes that of the rollouts trained on.
    """

    def __init__(self, metrics: dict[str, list[float]], logs: dict[str, Any], count: int) -> None:
        self._metrics = metrics
        self._first = {name: list(values) for name, values in metrics.items()}
        columns: list[deque[Any]] = [
            logs["prompt"],
            logs["completion"],
            *logs["rewards"].values(),
            *logs["extra"].values(),
        ]
        self._tables = [(column, list(column)) for column in columns if len(column) == count]

    def put(self, to: Tensor, source: Tensor, count: int) -> None:
        """Undo what a further round of ``count`` rollouts logged, but for the rows put in place."""
        tokens = self._metrics["num_tokens"]
        self._metrics.clear()
        self._metrics.update({name: list(values) for name, values in self._first.items()})
        self._metrics["num_tokens"] = tokens
        for column, table in self._tables:
            fresh = list(column)[-count:]
            for row, place in zip(to.tolist(), source.tolist(), strict=True):
                table[row] = fresh[place]
            column.clear()
            column.extend(table)
