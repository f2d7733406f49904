"""Facts of rollouts that the user's functions compute, where a method reads some that no engine can know."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import torch
from accelerate.utils import gather_object
from torch import Tensor

from concord.core.errors import BatchError
from concord.functional.answers import answer_ids

Function = Callable[..., Sequence[Any]]
"""Called as TRL calls reward functions: ``prompts``, ``completions``, ``completion_ids`` and the rows' columns as
keywords, each a list with an entry a rollout. It returns an entry a rollout."""

_LIST = (Sequence, Tensor)


class Columns:
    """The functions, and what they said of the last rollouts.

    Args:
        functions: by the name of the column.
    """

    def __init__(self, functions: Mapping[str, Function] | None) -> None:
        self._functions = dict(functions or {})
        self._said: dict[str, list[Any]] = {}

    @property
    def names(self) -> frozenset[str]:
        """The columns that there are functions for."""
        return frozenset(self._functions)

    def ask(
        self, wanted: Collection[str], rows: Sequence[Mapping[str, Any]], prompts: Any, completions: Any, ids: Any
    ) -> None:
        """Ask about this process's rollouts, and take together what all processes were told.

        Raises:
            BatchError: a function returned another number of entries than there are rollouts.
        """
        more = {key: [row[key] for row in rows] for key in rows[0] if key not in ("prompt", "completion")}
        self._said = {}
        for name in sorted(self.names & set(wanted)):
            said = list(self._functions[name](prompts=prompts, completions=completions, completion_ids=ids, **more))
            if len(said) != len(rows):
                raise BatchError(
                    f"the function of column {name!r} returned {len(said)} entries for {len(rows)} rollouts"
                )
            self._said[name] = gather_object(said)

    def tensors(self, width: int, device: torch.device) -> dict[str, Tensor]:
        """What was said, of the rollouts of all processes, as :func:`as_column` makes it."""
        return {name: as_column(name, said, width).to(device) for name, said in self._said.items()}


def as_column(name: str, said: Sequence[Any], width: int) -> Tensor:
    """One entry a rollout, as a column.

    Texts are numbered, equal ones alike, None as if it were a text of its own: ``[N]`` int64. Numbers are ``[N]``,
    int64 where all are whole numbers and float32 else, None = NaN. Lists of numbers, one a token, are ``[N, width]``
    float32, 0 beyond their end.

    Args:
        name: for messages.
        said: N entries.
        width: tokens of the longest response.

    Raises:
        BatchError: an entry is of another kind than the first, or longer than the longest response.

    Example:
        >>> as_column("answers", ["7", None, "7"], 4), as_column("similarity", [0.5, None], 4)
        (tensor([0, 1, 0]), tensor([0.5000,    nan]))
    """
    there = [entry for entry in said if entry is not None]
    if any(isinstance(entry, str) for entry in there):
        return answer_ids([_expect(name, entry, str, "texts") for entry in said])
    if any(isinstance(entry, _LIST) for entry in there):
        return torch.stack([_tokens(name, _expect(name, entry, _LIST, "lists of numbers"), width) for entry in said])
    values = [_expect(name, entry, numbers.Real, "numbers") for entry in said]
    if values and all(isinstance(value, numbers.Integral) for value in values):
        return torch.tensor(values, dtype=torch.int64)
    return torch.tensor([math.nan if value is None else float(value) for value in values])


def _tokens(name: str, entry: Sequence[float] | Tensor | None, width: int) -> Tensor:
    tokens = torch.zeros(width)
    if entry is not None:
        if len(entry) > width:
            raise BatchError(f"column {name!r} has {len(entry)} entries for a response; the longest has {width} tokens")
        tokens[: len(entry)] = torch.as_tensor(entry, dtype=torch.float32)
    return tokens


def _expect(name: str, entry: Any, kind: Any, what: str) -> Any:
    if entry is not None and not isinstance(entry, kind):
        raise BatchError(f"column {name!r} has both {what} and {entry!r}: give one kind for all rollouts")
    return entry
