"""Facts of rollouts that the user's functions compute, where a method reads some that no engine can know."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import torch
from accelerate.utils import gather_object
from torch import Tensor

from concord.core.errors import BatchError, ConfigError
from concord.functional.answers import answer_ids

Function = Callable[..., Sequence[Any]]
"""Called with ``prompts``, ``completions``, ``completion_ids`` and the rows' columns as keywords, each a list with an
entry a rollout, as reward functions are; it returns an entry a rollout (:func:`as_column`)."""

_OURS = ("prompt", "completion", "completion_ids")


class Columns:
    """The functions, and what they said of the last rollouts.

    Args:
        functions: by the name of the column.

    Raises:
        ConfigError: one that cannot be called.
    """

    def __init__(self, functions: Mapping[str, Function] | None) -> None:
        self._functions = dict(functions or {})
        self._said: dict[str, list[Any]] = {}
        for name, function in self._functions.items():
            if not callable(function):
                raise ConfigError(f"columns[{name!r}] must be a function, got {function!r}")

    @property
    def names(self) -> frozenset[str]:
        """The columns that there are functions for."""
        return frozenset(self._functions)

    def ask(
        self, wanted: Collection[str], rows: Sequence[Mapping[str, Any]], prompts: Any, completions: Any, ids: Any
    ) -> None:
        """Ask about this process's rollouts, and take together what all processes were told.

        Raises:
            BatchError: in all processes, where a function fails in one, or does not return an entry a rollout.
        """
        more = {key: [row[key] for row in rows] for key in rows[0] if key not in _OURS}
        given = {"prompts": prompts, "completions": completions, "completion_ids": ids, **more}
        self._said = {}
        for name in sorted(self.names & set(wanted)):
            said, failure = _asked(self._functions[name], given, len(rows))
            # The others would wait for this one's part.
            told = gather_object([None if failure is None else str(failure)])
            if faults := [fault for fault in told if fault is not None]:
                raise BatchError(f"the function of column {name!r} {faults[0]}") from failure
            self._said[name] = gather_object(said)

    def tensors(self, width: int, device: torch.device) -> dict[str, Tensor]:
        """What was said, of the rollouts of all processes, as :func:`as_column` makes it."""
        return {name: as_column(name, said, width).to(device) for name, said in self._said.items()}


class _Failure(Exception):
    """Why a function's answer cannot be used, as the end of a sentence."""


def _asked(function: Function, given: Mapping[str, Any], count: int) -> tuple[list[Any], BaseException | None]:
    try:
        returned = function(**given)
    except Exception as error:  # whatever it is, the other processes must hear of it
        failure = _Failure(f"raised {type(error).__name__}: {error}")
        failure.__cause__ = error
        return [], failure
    listed = hasattr(returned, "tolist") or isinstance(returned, Sequence)
    if not listed or isinstance(returned, str | bytes):
        return [], _Failure(f"returned {type(returned).__name__}, not a list with an entry a rollout")
    said = [_plain(entry) for entry in _plain(returned)]
    if len(said) != count:
        return [], _Failure(f"returned {len(said)} entries for {count} rollouts")
    return said, None


def _plain(value: Any) -> Any:
    """Python's own, of an array's or a tensor's."""
    return value.tolist() if hasattr(value, "tolist") else value


def as_column(name: str, said: Sequence[Any], width: int) -> Tensor:
    """One entry a rollout, as a column.

    Texts are numbered, equal ones alike: ``[N]`` int64; a number tells nothing across two calls. Numbers are ``[N]``,
    int64 where all are whole ones and float32 else, None = NaN. Lists of numbers, one a token, are ``[N, width]``
    float32, 0 beyond their end.

    Args:
        name: for messages.
        said: N entries.
        width: tokens of the longest response, with its padding.

    Raises:
        BatchError: an entry is of another kind than the others (None goes with numbers only), or longer than the
            longest response.

    Example:
        >>> as_column("answers", ["7", "", "7"], 4), as_column("similarity", [0.5, None], 4)
        (tensor([0, 1, 0]), tensor([0.5000,    nan]))
    """
    if any(isinstance(entry, str) for entry in said):
        return answer_ids([_expect(name, entry, str, "texts", "''") for entry in said])
    if any(isinstance(entry, list | tuple) for entry in said):
        return torch.stack([_tokens(name, _expect(name, e, list | tuple, "lists", "[]"), width) for e in said])
    values = [math.nan if entry is None else _expect(name, entry, numbers.Real, "numbers", "None") for entry in said]
    whole = all(isinstance(value, numbers.Integral) for value in values)
    return torch.tensor(values, dtype=torch.int64 if whole else torch.float32)


def _tokens(name: str, entry: Sequence[float], width: int) -> Tensor:
    if len(entry) > width:
        raise BatchError(f"column {name!r} has {len(entry)} entries for a response; the longest has {width} tokens")
    values = [float(_expect(name, value, numbers.Real, "numbers", "0")) for value in entry]
    return torch.nn.functional.pad(torch.tensor(values, dtype=torch.float32), (0, width - len(values)))


def _expect(name: str, entry: Any, kind: Any, what: str, nothing: str) -> Any:
    if not isinstance(entry, kind):
        raise BatchError(f"column {name!r} has {what}, and {entry!r} among them; where there is none, give {nothing}")
    return entry
