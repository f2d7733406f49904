"""A chain: stages in order."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from concord.core.errors import BatchError, MissingColumn, UnknownName, nearest
from concord.core.moments import group_sum
from concord.core.precision import result_dtype
from concord.core.rollouts import Rollouts
from concord.core.signal import Outcome, Signal
from concord.core.stage import Stage, State


@dataclass(frozen=True)
class Chain:
    """Stages applied in order; the order is the method.

    A chain is a value: it compares, hashes, pickles, and prints as the method it is. Calling it
    turns rollouts into advantages, without gradient and without host sync.

    Args:
        stages: applied left to right; their names must be distinct.

    Example:
        >>> from concord.stages import GroupNormalize, Sum
        >>> grpo = Chain((Sum(), GroupNormalize()))
        >>> grpo.names
        ('sum', 'group_normalize')
        >>> grpo.without("group_normalize")
        Chain(stages=(Sum(),))
    """

    stages: tuple[Stage, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "stages", tuple(self.stages))
        if twice := sorted({name for name in self.names if self.names.count(name) > 1}):
            raise BatchError(f"stage names must be distinct; used twice: {', '.join(twice)}")

    @property
    def names(self) -> tuple[str, ...]:
        """The stages' names, in order."""
        return tuple(stage.name for stage in self.stages)

    @property
    def needs(self) -> frozenset[str]:
        """The batch columns that some stage reads."""
        return frozenset().union(*(stage.needs for stage in self.stages))

    @property
    def prefers(self) -> frozenset[str]:
        """The batch columns that some stage reads where the batch has them."""
        return frozenset().union(*(stage.prefers for stage in self.stages))

    @property
    def writes(self) -> frozenset[str]:
        """The columns that some stage writes for the loss."""
        return frozenset().union(*(stage.writes for stage in self.stages))

    def __call__(self, batch: Rollouts, state: tuple[State, ...] | None = None, *, trace: bool = False) -> Outcome:
        """Run the chain.

        Args:
            batch: one whole optimisation step's rollouts, whole groups.
            state: the previous step's ``Outcome.state``; None at the first step.
            trace: keep the signal after every stage in ``Outcome.trace``.

        Raises:
            MissingColumn: a stage needs a column that the batch lacks; raised before any arithmetic.
            BatchError: the batch is not Rollouts, the chain ends with several channels (add ``Sum()``), the state is
                not its own, or a stage changes rollouts after an earlier one has told their tokens apart.

        An empty batch has an empty outcome, without metrics, and leaves the state as it was. Stages work in double
        precision; advantages and metrics come out as float32 (float64 for rewards in float64), the largest number of
        the type where they would be larger.
        """
        self._check(batch, state)
        state = self.init() if state is None else state
        if len(batch.groups) == 0:
            nothing = batch.rewards.new_zeros(0)
            return Outcome(nothing, nothing.bool(), nothing.bool(), {}, state)
        with torch.no_grad():
            signal = Signal.start(batch)
            metrics: dict[str, Tensor] = {}
            seen: list[tuple[str, Signal]] = []
            after: list[State] = []
            for stage, before in zip(self.stages, state, strict=True):
                earlier, (signal, new) = signal, stage.step(signal, batch, before)
                self._check_tokens(stage, earlier, signal)
                after.append(new)
                metrics |= {f"{stage.name}/{name}": value for name, value in signal.metrics.items()}
                if trace:
                    seen.append((stage.name, signal))
            return self._finish(signal, batch, metrics, tuple(after), tuple(seen))

    def init(self) -> tuple[State, ...]:
        """The state before the first step, one entry a stage."""
        return tuple(stage.init() for stage in self.stages)

    def replace(self, name: str, stage: Stage) -> Chain:
        """The chain with one stage swapped."""
        return Chain(tuple(stage if s.name == self._known(name) else s for s in self.stages))

    def without(self, name: str) -> Chain:
        """The chain with one stage left out: the unit of an ablation."""
        return Chain(tuple(s for s in self.stages if s.name != self._known(name)))

    def unselective(self) -> Chain:
        """The chain without the stages that mask, drop or reweigh: what it would say of every rollout.

        Example:
            >>> from concord import create
            >>> create("gd2po").signal.unselective() == create("gdpo").signal
            True
        """
        return Chain(tuple(stage for stage in self.stages if not stage.selects))

    def to_config(self) -> list[dict[str, Any]]:
        """The chain as plain data, one dict a stage."""
        return [stage.to_config() for stage in self.stages]

    @classmethod
    def from_config(cls, config: Iterable[Mapping[str, Any]]) -> Chain:
        """The chain that :meth:`to_config` described."""
        return cls(tuple(Stage.from_config(entry) for entry in config))

    def __str__(self) -> str:
        return " -> ".join(map(repr, self.stages))

    def _known(self, name: str) -> str:
        if name not in self.names:
            raise UnknownName(f"no stage {name!r} in this chain of {self.names}" + nearest(name, self.names))
        return name

    def _check(self, batch: Rollouts, state: tuple[State, ...] | None) -> None:
        if not isinstance(batch, Rollouts):
            raise BatchError(
                f"a signal is made of Rollouts, got {type(batch).__name__}; pass Rollouts(rewards, groups, names), or "
                "call concord.advantages(rewards, groups)"
            )
        for stage in self.stages:
            if absent := sorted(stage.prefers - batch.columns.keys()):
                warnings.warn(
                    f"stage {stage.name!r} counts every rollout alike: the batch has no column {absent[0]!r}, with "
                    f"which it would weigh by tokens; pass columns={{{absent[0]!r}: ...}}, or numerics='trl'",
                    stacklevel=3,
                )
            if absent := sorted(stage.needs - batch.columns.keys()):
                raise MissingColumn(
                    f"stage {stage.name!r} needs columns {absent}; this batch carries {sorted(batch.columns)}"
                )
        if state is not None and len(state) != len(self.stages):
            raise BatchError(f"state has {len(state)} entries, this chain {len(self.stages)} stages; start with init()")

    @staticmethod
    def _check_tokens(stage: Stage, before: Signal, after: Signal) -> None:
        told_apart = before.token_values is not None and after.token_values is before.token_values
        if told_apart and after.values is not before.values:
            raise BatchError(
                f"stage {stage.name!r} changes what rollouts are worth after an earlier one has told their tokens "
                "apart, which the loss would not see; put it before that one"
            )

    @staticmethod
    def _finish(
        signal: Signal,
        batch: Rollouts,
        metrics: dict[str, Tensor],
        state: tuple[State, ...],
        trace: tuple[tuple[str, Signal], ...],
    ) -> Outcome:
        if len(signal.channels) != 1:
            raise BatchError(f"the chain ends with channels {signal.channels}; add Sum() before the end")
        dtype = result_dtype(batch.rewards.dtype)
        advantages = signal.values[:, 0].nan_to_num(nan=0.0) * signal.keep + 0.0  # and so no -0.0
        empty = group_sum(signal.keep[:, None].to(advantages.dtype), batch.groups)[:, 0] == 0
        tokens = signal.token_values
        if tokens is not None:
            tokens = torch.where(signal.keep[:, None], tokens, 0)
            tokens = _narrow(tokens, dtype)
        columns = {name: _narrow(column, dtype) for name, column in signal.columns.items()}
        if metrics:
            metrics = dict(zip(metrics, _narrow(torch.stack([*metrics.values()]), dtype).unbind(), strict=True))
        return Outcome(_narrow(advantages, dtype), signal.keep, empty, metrics, state, trace, columns, tokens)


def _narrow(x: Tensor, dtype: torch.dtype) -> Tensor:
    """The numbers of a stage in the result's type; what is too large for the type is its largest number."""
    if not x.is_floating_point() or x.dtype == dtype:
        return x
    if (largest := torch.finfo(dtype).max) < torch.finfo(x.dtype).max:
        x = x.clamp(-largest, largest)
    return x.to(dtype)
