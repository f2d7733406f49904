"""What flows down a chain, and what comes out of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from concord.core.groups import Groups
from concord.core.moments import GroupMoments, group_moments
from concord.core.precision import ROUNDING, largest, noise_of, read_scores
from concord.core.rollouts import Rollouts


@dataclass(frozen=True, eq=False)
class Signal:
    """The rewards on their way to becoming advantages; every stage maps a Signal to a Signal.

    Attributes:
        values: ``[N, C]``; C is K until the rewards are summed, then 1. NaN = not scored.
        keep: ``[N]`` bool; False = no update, and no part in any later statistic.
        channels: the C channel names.
        metrics: what the last stage measured, each 0-d. The chain files them under the stage's
            name, so a stage never spells a prefix.
        columns: what the loss reads beside advantages, each ``[N]`` or ``[N, T]``; stages that write some
            name them in ``writes``.
        token_values: ``[N, T]`` where a stage has told the tokens of a response apart; None = all alike.
        precision: ``[C]``, the float noise of the scores as they came, as a share of their size; None = the
            rounding of the values' own type.
        noise: ``[P, C]``, the size up to which a difference inside a group is noise; None = what ``precision`` gives
            for the values. A stage that changes values and knows what becomes of their noise says so.
    """

    values: Tensor
    keep: Tensor
    channels: tuple[str, ...]
    metrics: Mapping[str, Tensor] = field(default_factory=dict)
    columns: Mapping[str, Tensor] = field(default_factory=dict)
    token_values: Tensor | None = None
    precision: Tensor | None = None
    noise: Tensor | None = None

    @classmethod
    def start(cls, batch: Rollouts) -> Signal:
        """Read the raw rewards, in double precision; a rollout that no reward scored is not kept."""
        floors = {batch.names.index(name): floor for name, floor in batch.noise_floor.items()}
        values, precision, noise = read_scores(batch.rewards.detach(), batch.groups, floors)
        scored = values.nan_to_num(nan=-torch.inf).amax(1) > -torch.inf
        return cls(values, scored, batch.names, precision=precision, noise=noise)

    @cached_property
    def live(self) -> Tensor:
        """``[N, C]`` bool: the entries that count in statistics, kept and scored."""
        return self.keep[:, None] & ~self.values.isnan()

    def moments(self, groups: Groups, *, ddof: int = 1) -> GroupMoments:
        """Return the statistics of the live entries within groups."""
        return group_moments(self.values, groups, self.live, ddof=ddof, noise=self.noise, precision=self.precision)

    def noise_in(self, groups: Groups) -> Tensor:
        """Return ``[P, C]``, the size up to which a difference inside a group is noise."""
        if self.noise is not None:
            return self.noise
        values = self.values
        unit = ROUNDING * torch.finfo(values.dtype).eps if self.precision is None else self.precision
        return noise_of(largest(values, groups, ~values.isnan()), torch.as_tensor(unit, device=values.device))

    def to(self, values: Tensor | None = None, **changes: Any) -> Signal:
        """Return the next signal; metrics start empty unless given, and new values have their own noise."""
        changes.setdefault("metrics", {})
        if values is not None:
            changes["values"] = values
            changes.setdefault("noise", None)
            if self.precision is not None and values.shape[1] != self.values.shape[1]:
                changes.setdefault("precision", self.precision.amax().expand(values.shape[1]))
        return dataclasses.replace(self, **changes)

    def with_columns(self, **columns: Tensor) -> Signal:
        """The same signal, with further columns for the loss."""
        return dataclasses.replace(self, columns={**self.columns, **columns})


@dataclass(frozen=True, eq=False)
class Push:
    """What a loss reads of an outcome.

    Attributes:
        advantages: ``[N]``, or ``[N, T]`` where they differ along a response.
        columns: by name, each ``[N]`` or ``[N, T]``.
    """

    advantages: Tensor
    columns: Mapping[str, Tensor]

    def take(self, rows: Tensor) -> Push:
        """Of these rollouts."""
        return Push(self.advantages[rows], {name: x[rows] for name, x in self.columns.items()})

    def cut(self, width: int) -> Push:
        """Of the first tokens."""
        return Push(_cut(self.advantages, width), {name: _cut(x, width) for name, x in self.columns.items()})


def _cut(x: Tensor, width: int) -> Tensor:
    return x if x.ndim == 1 else x[:, :width]


@dataclass(frozen=True, eq=False)
class Outcome:
    """What an engine needs from one step.

    Attributes:
        advantages: ``[N]``, exactly 0 where not kept.
        keep: ``[N]`` bool; False = contributes nothing to the gradient, need not be computed.
        empty_groups: ``[P]`` bool: nothing kept. Resampling refills these.
        metrics: flat ``"<stage>/<metric>"``, each 0-d and on the batch's device.
        state: the chain's next state, to pass in at the next step and to checkpoint.
        trace: the signal after each stage, by stage name, if asked for. Reports read this.
        columns: what the loss reads beside advantages, by name, each ``[N]`` or ``[N, T]``.
        token_advantages: ``[N, T]`` where they differ along a response: the loss reads these in place of
            ``advantages``; exactly 0 where not kept. None = every token has its rollout's.
    """

    advantages: Tensor
    keep: Tensor
    empty_groups: Tensor
    metrics: Mapping[str, Tensor]
    state: tuple[Any, ...]
    trace: tuple[tuple[str, Signal], ...] = ()
    columns: Mapping[str, Tensor] = field(default_factory=dict)
    token_advantages: Tensor | None = None

    @property
    def push(self) -> Push:
        """What the loss reads."""
        return Push(self.advantages if self.token_advantages is None else self.token_advantages, self.columns)

    @property
    def pushed(self) -> Tensor:
        """``[N]`` bool: kept, and with an advantage other than 0 somewhere."""
        nonzero = self.push.advantages != 0
        return self.keep & (nonzero if nonzero.ndim == 1 else nonzero.any(1))


def masked_mean(x: Tensor, where: Tensor) -> Tensor:
    """Mean over ``where``, 0 if that is nowhere: ``[N] -> []``."""
    return torch.where(where, x, 0).sum() / where.sum().clamp(min=1)
