"""Rewards that pull one rollout both ways."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from concord.core.errors import ConfigError
from concord.core.moments import group_sum
from concord.core.rollouts import Rollouts
from concord.core.signal import Signal, masked_mean
from concord.core.stage import Stage
from concord.functional.conflict import cancelled, mixed_sign


class _Contributions(NamedTuple):
    """What the channels push: ``[N, C]``, 0 where missing or not kept; their sum and the sum of their sizes ``[N]``."""

    x: Tensor
    net: Tensor
    gross: Tensor

    @classmethod
    def of(cls, signal: Signal) -> _Contributions:
        x = signal.values.nan_to_num(nan=0.0) * signal.keep[:, None]
        return cls(x, x.sum(1), x.abs().sum(1))

    def above(self, tau: float, noise: Tensor) -> Tensor:
        """``[N]``: |net| - tau * gross, exactly 0 where the score is tau up to the noise of the contributions."""
        gap = self.net.abs() - tau * self.gross
        return torch.where(gap.abs() > noise, gap, 0)


def _noise(signal: Signal, batch: Rollouts) -> Tensor:
    """``[N]``: once for a value's distance from the mean, once for the deviation that it was divided by."""
    return batch.groups.spread(2 * signal.noise_in(batch.groups).sum(1))


def _check_tau(tau: float) -> None:
    if not 0.0 <= tau <= 1.0:
        raise ConfigError(f"tau must be in [0, 1], got {tau}")


@dataclass(frozen=True)
class MeasureConflicts(Stage):
    """Change nothing; say how far the channels disagree.

    Shapes: [N, C] -> [N, C].  State: none.  Columns: none.
    Metrics: ``mixed``, the share of rollouts that one channel pushes up and another down;
    ``cancelled``, the share of the signal lost in the sum (:func:`concord.functional.conflict.cancelled_share`).
    """

    def apply(self, signal: Signal, batch: Rollouts) -> Signal:
        pushes = _Contributions.of(signal)
        mixed = mixed_sign(pushes.x).to(pushes.x.dtype)
        return signal.to(
            metrics={"mixed": masked_mean(mixed, signal.keep), "cancelled": cancelled(pushes.net, pushes.gross)}
        )


@dataclass(frozen=True)
class MaskConflicts(Stage):
    """Drop rollouts whose channels disagree in sign and nearly cancel.

        drop[n] = some x[n, k] > 0 and some x[n, l] < 0 and |sum x[n]| / sum |x[n]| < tau

    ``tau=1`` drops every mixed-sign rollout (GD2PO-hard), ``tau=0`` none (GDPO). A contribution within the float noise
    of the scores is 0 and has no sign; a ratio that is tau up to that noise is tau, and the rollout stays.

    Shapes: [N, C] -> [N, C].  State: none.  Columns: none.
    Metrics: ``mixed``, share of rollouts of mixed sign; ``dropped``, share dropped; ``cancelled``,
    share of the signal that cancels before the drop.
    Raises: ConfigError if tau is outside [0, 1].
    Source: the authors' code of GD2PO, arXiv:2606.16771; the paper's own rule is
    :class:`MaskLowConsensus`. The authors read signs beyond 1e-8, below the noise of float32, and add 1e-8 to the
    magnitudes, which puts a ratio of exactly tau below it.
    """

    selects: ClassVar[bool] = True
    tau: float = 0.8

    def __post_init__(self) -> None:
        _check_tau(self.tau)

    def apply(self, signal: Signal, batch: Rollouts) -> Signal:
        pushes = _Contributions.of(signal)
        mixed = mixed_sign(pushes.x)
        # The ratio of a mixed rollout is below 1, but may be within the noise of it; tau = 1 means all of them.
        drop = mixed if self.tau == 1.0 else mixed & (pushes.above(self.tau, _noise(signal, batch)) < 0)
        return signal.to(
            keep=signal.keep & ~drop,
            metrics={
                "mixed": masked_mean(mixed.to(pushes.x.dtype), signal.keep),
                "dropped": masked_mean(drop.to(pushes.x.dtype), signal.keep),
                "cancelled": cancelled(pushes.net, pushes.gross),
            },
        )


@dataclass(frozen=True)
class MaskLowConsensus(Stage):
    """Drop every rollout whose channels cancel to a share of at most tau.

        drop[n] = |sum x[n]| / sum |x[n]| <= tau

    A rollout without any signal has score 0 and is dropped; so is one whose score is tau up to the float noise.

    Shapes: [N, C] -> [N, C].  State: none.  Columns: none.
    Metrics: ``dropped``, share dropped; ``cancelled``, share of the signal that cancels before.
    Raises: ConfigError if tau is outside [0, 1].
    Source: GD2PO as its paper states it, arXiv:2606.16771 eq. 11. It parts from the authors' code
    (:class:`MaskConflicts`) where a rollout has no signal, or a score of exactly tau.
    """

    selects: ClassVar[bool] = True
    tau: float = 0.8

    def __post_init__(self) -> None:
        _check_tau(self.tau)

    def apply(self, signal: Signal, batch: Rollouts) -> Signal:
        pushes = _Contributions.of(signal)
        drop = pushes.above(self.tau, _noise(signal, batch)) <= 0
        return signal.to(
            keep=signal.keep & ~drop,
            metrics={
                "dropped": masked_mean(drop.to(pushes.x.dtype), signal.keep),
                "cancelled": cancelled(pushes.net, pushes.gross),
            },
        )


@dataclass(frozen=True)
class ReweightGroups(Stage):
    """Scale each group by the share of its scored rollouts that are still kept.

        x[n] <- x[n] * kept_g / scored_g

    Shapes: [N, C] -> [N, C].  State: none.  Columns: none.
    Metrics: ``mean`` and ``min`` of the share over groups.
    Degenerate: a rollout that no reward scored was never a candidate and does not count.
    Source: GD2PO, arXiv:2606.16771 eq. 20.
    """

    selects: ClassVar[bool] = True

    def apply(self, signal: Signal, batch: Rollouts) -> Signal:
        # A value is missing where no reward scored the rollout, and only there.
        scored = signal.values.nan_to_num(nan=-torch.inf).amax(1) > -torch.inf
        counts = group_sum(torch.stack([signal.keep, scored], 1).to(signal.values.dtype), batch.groups)
        share = counts[:, :1] / counts[:, 1:].clamp(min=1)
        return signal.to(
            signal.values * batch.groups.spread(share),
            noise=signal.noise_in(batch.groups) * share,
            metrics={"mean": share.mean(), "min": share.min()},
        )
