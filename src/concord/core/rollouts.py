"""The batch: one step's rollouts, rewards kept apart."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from concord.core.errors import BatchError, MissingColumn, nearest
from concord.core.groups import Groups


@dataclass(frozen=True, eq=False)
class Rollouts:
    """One optimisation step's rollouts, scored by K rewards.

    Attributes:
        rewards: ``[N, K]`` floating point, each reward in its own units; lists of numbers and numpy arrays are
            converted. NaN, and with it any non-finite score, means "not scored": it enters no statistic and
            spreads nowhere. None in a list is NaN.
        groups: which rollouts answer the same prompt; moved to the rewards' device if elsewhere. A list of N ids
            (strings, numbers) is grouped by :meth:`Groups.of`.
        names: the K distinct reward names, in column order.
        columns: further facts, each ``[N, ...]``: "lengths" (response tokens), "truncated", ...
            A stage declares those it reads in ``needs``.
        noise_floor: by reward name, in the reward's own units: a score this near its group's mean says nothing.
            Rewards that are not named have the floor of their float precision (:mod:`concord.core.precision`).

    Raises:
        BatchError: shapes, types or names do not fit together.

    Example:
        >>> batch = Rollouts([[1.0, 0.2], [0.0, 0.9]], ["q1", "q1"], ("right", "short"))
        >>> batch.rewards.shape, batch.names, batch.groups.count
        (torch.Size([2, 2]), ('right', 'short'), 1)
    """

    rewards: Tensor
    groups: Groups
    names: tuple[str, ...]
    columns: Mapping[str, Tensor] = field(default_factory=dict)
    noise_floor: Mapping[str, float] = field(default_factory=dict)

    def __init__(
        self,
        rewards: Tensor | Sequence[Any] | Any,
        groups: Groups | Sequence[Hashable],
        names: Sequence[str],
        columns: Mapping[str, Any] | None = None,
        noise_floor: Mapping[str, float] | None = None,
    ) -> None:
        scores = _scores(rewards)
        partition = _partition(groups, len(scores)).to(scores.device)
        known = _names(names, scores.shape[1])
        facts = {name: _column(name, column, scores) for name, column in _mapping("columns", columns).items()}
        floors = _floors(_mapping("noise_floor", noise_floor), known)
        for key, value in (
            ("rewards", scores),
            ("groups", partition),
            ("names", known),
            ("columns", facts),
            ("noise_floor", floors),
        ):
            object.__setattr__(self, key, value)

    def column(self, name: str) -> Tensor:
        """Return a column by name; :class:`MissingColumn` says which ones there are."""
        try:
            return self.columns[name]
        except KeyError:
            raise MissingColumn(
                f"no column {name!r}; this batch carries {sorted(self.columns)}" + nearest(name, self.columns)
            ) from None

    def with_columns(self, **columns: Tensor) -> Rollouts:
        """Return the same rollouts with columns added or replaced."""
        return dataclasses.replace(self, columns={**self.columns, **columns})


def _scores(rewards: Any) -> Tensor:
    """``[N, K]``, or a BatchError that says what is wanted."""
    wanted = "rewards must be a tensor, an array or lists of numbers [rollouts, rewards]"
    tensor: Tensor = _dense("rewards", rewards, wanted)
    if tensor.ndim != 2:
        hint = "; one reward is a column: rewards[:, None]" if tensor.ndim == 1 else ""
        raise BatchError(f"{wanted}, got shape {tuple(tensor.shape)}{hint}")
    if tensor.shape[1] == 0:
        raise BatchError(f"{wanted}, got no reward at all: shape {tuple(tensor.shape)}")
    if not tensor.is_floating_point():
        if isinstance(rewards, Tensor):
            raise BatchError(f"rewards must be floating point, got {tensor.dtype}; call .float()")
        if tensor.is_complex():
            raise BatchError(f"{wanted}, got complex numbers")
        tensor = tensor.double()
    if tensor.dtype not in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        raise BatchError(f"rewards of type {tensor.dtype} have no arithmetic; call .float()")
    return tensor


def _dense(what: str, given: Any, wanted: str) -> Tensor:
    """A strided tensor that holds its numbers."""
    if isinstance(given, Tensor):
        if given.layout != torch.strided or given.is_quantized:
            kind = "quantised" if given.is_quantized else "sparse"
            call = "dequantize" if given.is_quantized else "to_dense"
            raise BatchError(f"{what} are a {kind} tensor; call .{call}() first")
        if given.device.type == "meta":
            raise BatchError(f"{what} are on the meta device, where a tensor has no numbers; move the real ones here")
        return given
    if not isinstance(given, Sequence) or isinstance(given, (str, bytes)):
        if not hasattr(given, "__array__"):
            raise BatchError(f"{wanted}, got {type(given).__name__}")
        return _array(given, wanted)
    rows = [row if isinstance(row, (str, bytes)) else _row(row) for row in given]
    try:
        return torch.tensor(rows, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise BatchError(f"{wanted}: {error}") from None


def _row(row: Any) -> Any:
    """None is a missing number; a tensor or an array is its list."""
    if hasattr(row, "tolist"):
        row = row.tolist()
    if isinstance(row, Sequence):
        return [math.nan if entry is None else entry for entry in row]
    return math.nan if row is None else row


def _array(given: Any, wanted: str) -> Tensor:
    array = np.asarray(given)
    if array.dtype == object or array.dtype.kind not in "fiub":
        raise BatchError(f"{wanted}, got an array of {array.dtype}")
    if array.dtype.kind == "f" and array.dtype.itemsize > 8:
        array = array.astype(np.float64)
    # A copy, so that arrays that are read-only, of the other byte order or stepped backwards all do.
    native: Tensor = torch.from_numpy(np.array(array, dtype=array.dtype.newbyteorder("=")))
    return native


def _partition(given: Any, count: int) -> Groups:
    if isinstance(given, Groups):
        groups = given
    else:
        ids = given.tolist() if hasattr(given, "tolist") else given
        if not isinstance(ids, Sequence) or isinstance(ids, (str, bytes)):
            raise BatchError(
                f"groups must be Groups or one id for each rollout, got {type(given).__name__}; "
                "Groups.of(ids) and Groups.uniform(prompts, rollouts_each) make them"
            )
        groups = Groups.of(ids)
    if len(groups) != count:
        raise BatchError(f"groups cover {len(groups)} rollouts, rewards {count}")
    return groups


def _names(names: Any, kinds: int) -> tuple[str, ...]:
    if isinstance(names, (str, bytes)) or not isinstance(names, Sequence):
        raise BatchError(f"names must be a sequence of reward names, one for each column, got {names!r}")
    known = tuple(names)
    if wrong := [name for name in known if not isinstance(name, str) or not name]:
        raise BatchError(f"reward names must be text, got {wrong[0]!r}")
    if len(known) != kinds:
        raise BatchError(f"{kinds} reward columns, but {len(known)} names: {known}")
    if twice := sorted({name for name in known if known.count(name) > 1}):
        raise BatchError(f"reward names must be distinct; used twice: {', '.join(twice)}")
    return known


def _mapping(what: str, given: Any) -> Mapping[str, Any]:
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise BatchError(f"{what} must be a mapping by name, got {type(given).__name__}")
    return given


def _column(name: str, column: Any, scores: Tensor) -> Tensor:
    count = len(scores)
    tensor: Tensor = column
    if not isinstance(column, Tensor):
        tensor = _dense(f"column {name!r}", column, f"column {name!r} must be a tensor, an array or a list of numbers")
        tensor = tensor.to(scores.device)
    if tensor.shape[:1] != (count,):
        raise BatchError(f"column {name!r} must be a tensor of {count} rows, got {tuple(tensor.shape)}")
    return tensor


def _floors(floors: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, float]:
    for name, floor in floors.items():
        if name not in names:
            raise BatchError(f"noise_floor names reward {name!r}; the batch has {names}" + nearest(str(name), names))
        if isinstance(floor, bool) or not isinstance(floor, (int, float)) or not 0 <= floor < math.inf:
            raise BatchError(f"the noise floor of reward {name!r} must be a finite number of at least 0, got {floor!r}")
    return {name: float(floor) for name, floor in floors.items()}
