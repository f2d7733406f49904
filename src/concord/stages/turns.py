"""Several turns a trajectory: each turn a row of the batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from concord.core.errors import BatchError, ConfigError, nearest
from concord.core.rollouts import Rollouts
from concord.core.signal import Signal, masked_mean
from concord.core.stage import Stage
from concord.functional.turns import later_turns, normalize_within, turns_left

_TRAJECTORY = frozenset({"trajectory", "turn"})


def _check_gamma(gamma: float) -> None:
    if not 0 <= gamma <= 1:
        raise ConfigError(f"gamma must be in [0, 1], got {gamma}")


@dataclass(frozen=True)
class NormalizeByTag(Stage):
    """Standardise the reward of single steps among steps of one kind, the others among all rows of the group.

        A_step[n] = (r[n] - mean) / (std + eps)     over the rows of group(n) with tag[n]
        A_k[n]    = (r_k[n] - mean_g) / (std_g + eps)

    Shapes: [N, C] -> [N, C].  Units: none.  State: none.
    Columns: ``tag`` [N] int64, the kind of the step (planning, exploring, ...).
    Degenerate: a step that is alone of its kind in its group, or whose kind scored alike, gives exactly 0.
    Raises: BatchError where the batch has no reward of that name.
    Source: RLVMR, arXiv:2507.22844.

    Attributes:
        step_reward: the reward that scores single steps; None = the last one.
        eps: added to the deviation.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"tag"})
    step_reward: str | None = None
    eps: float = 1e-6

    def apply(self, signal: Signal, batch: Rollouts) -> Signal:
        if self.step_reward is not None and self.step_reward not in signal.channels:
            raise BatchError(
                f"the reward of steps is {self.step_reward!r}; the batch has {signal.channels}"
                + nearest(self.step_reward, signal.channels)
            )
        place = -1 if self.step_reward is None else signal.channels.index(self.step_reward)
        groups, live = batch.groups, signal.live
        moments = signal.moments(groups)
        values = moments.centred / groups.spread(moments.std + self.eps)
        noise = signal.noise_in(groups)
        values[:, place] = normalize_within(
            signal.values[:, place], batch.column("tag"), groups, live[:, place], eps=self.eps, noise=noise[:, place]
        )
        return signal.to(values)


@dataclass(frozen=True)
class NormalizeEndsApart(Stage):
    """Standardise the last turns of a group's trajectories among themselves, and so the turns before them.

    Where the end is paid by the outcome and the way by something else, neither sets the other's unit.

    Shapes: [N, C] -> [N, C].  Units: none.  State: none.  Columns: ``trajectory``, ``turn`` [N] int64.
    Degenerate: values that are all alike, and one that is alone, give exactly 0.
    Source: IGPO's "separate" normalisation, arXiv:2510.14967.

    Attributes:
        eps: added to the deviation, which is the population's.
    """

    needs: ClassVar[frozenset[str]] = _TRAJECTORY
    eps: float = 1e-6

    def apply(self, signal: Signal, batch: Rollouts) -> Signal:
        last = turns_left(batch.column("trajectory"), batch.column("turn"), batch.groups) == 0
        parts = zip(
            signal.values.unbind(1), signal.live.unbind(1), signal.noise_in(batch.groups).unbind(1), strict=True
        )
        columns = [
            normalize_within(x, last, batch.groups, live, eps=self.eps, ddof=0, noise=noise) for x, live, noise in parts
        ]
        return signal.to(torch.stack(columns, 1))


@dataclass(frozen=True)
class InformationGain(Stage):
    """Pay a turn for how much likelier it made the right answer; the last turn keeps its reward.

        r[n] <- exp(after[n]) - exp(before[n])     where n is not the last turn of its trajectory

    Shapes: [N, 1] -> [N, 1]; stands after ``Sum``.  Units: a probability, beside the reward's.  State: none.
    Columns: ``trajectory``, ``turn`` [N] int64; ``answer_logp`` [N, 2], the policy's mean log-probability (nats) of the
    tokens of the right answer, set after the history before this turn and after this turn.
    Metrics: ``gain``, the mean over those turns.
    Degenerate: a turn whose log-probabilities are missing (NaN) has no reward of its own; what comes later still
    counts.
    Raises: BatchError where there are several channels.
    Source: IGPO, arXiv:2510.14967.
    """

    needs: ClassVar[frozenset[str]] = _TRAJECTORY | {"answer_logp"}

    def apply(self, signal: Signal, batch: Rollouts) -> Signal:
        if len(signal.channels) != 1:
            raise BatchError(f"the gain stands in for one reward, not for {signal.channels}; put it after Sum()")
        dtype = signal.values.dtype
        before, after = batch.column("answer_logp").to(dtype).exp().unbind(1)
        gain = after - before
        early = turns_left(batch.column("trajectory"), batch.column("turn"), batch.groups) > 0
        values = torch.where(early, gain, signal.values[:, 0])[:, None]
        paid = early & signal.keep & ~gain.isnan()
        return signal.to(values, metrics={"gain": masked_mean(gain, paid)})


@dataclass(frozen=True)
class SumLaterTurns(Stage):
    """Credit a turn with what came after it in its trajectory.

        A[n] <- sum(gamma^(turn[m] - turn[n]) * A[m] : m in trajectory(n), turn[m] >= turn[n])

    Shapes: [N, C] -> [N, C].  State: none.  Columns: ``trajectory``, ``turn`` [N] int64.
    Degenerate: a turn that is not kept, or has no value, adds nothing.
    Raises: ConfigError unless gamma is in [0, 1].
    Source: IGPO, arXiv:2510.14967.
    """

    needs: ClassVar[frozenset[str]] = _TRAJECTORY
    gamma: float = 1.0

    def __post_init__(self) -> None:
        _check_gamma(self.gamma)

    def apply(self, signal: Signal, batch: Rollouts) -> Signal:
        trajectory, turn = batch.column("trajectory"), batch.column("turn")
        told = torch.where(signal.live, signal.values, 0)
        columns = [later_turns(x, trajectory, turn, batch.groups, gamma=self.gamma) for x in told.unbind(1)]
        return signal.to(torch.stack(columns, 1))


@dataclass(frozen=True)
class DiscountToEnd(Stage):
    """Pay earlier turns less: a trajectory's reward, discounted by the turns that were still to come.

        r[n] <- gamma^(last turn of trajectory(n) - turn[n]) * r[n]

    Shapes: [N, C] -> [N, C].  Units: the reward's, which stands on every row of its trajectory.  State: none.
    Columns: ``trajectory``, ``turn`` [N] int64.
    Raises: ConfigError unless gamma is in [0, 1].
    Source: EAPO, arXiv:2511.07327.
    """

    needs: ClassVar[frozenset[str]] = _TRAJECTORY
    gamma: float = 0.995

    def __post_init__(self) -> None:
        _check_gamma(self.gamma)

    def apply(self, signal: Signal, batch: Rollouts) -> Signal:
        left = turns_left(batch.column("trajectory"), batch.column("turn"), batch.groups)
        factor = torch.pow(torch.full_like(signal.values[:, :1], self.gamma), left[:, None].to(signal.values.dtype))
        return signal.to(signal.values * factor, noise=signal.noise_in(batch.groups))
