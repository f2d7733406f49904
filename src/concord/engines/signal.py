"""One step: rewards in, advantages and metrics out, the state of the chain kept."""

from __future__ import annotations

from typing import Any

import torch

from concord.core.chain import Chain
from concord.core.rollouts import Rollouts
from concord.core.signal import Outcome
from concord.engines.settings import Settings
from concord.stages import GroupNormalize, MeasureConflicts, Sum, Weigh


class StepSignal:
    """A method with its state between the steps of a run.

    Args:
        settings: of the run.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.method = settings.build()
        self.state: tuple[Any, ...] = self.method.signal.init()
        # What the rewards do to each other, whichever the method.
        self._conflict = Chain((GroupNormalize(), Weigh(settings.weights), MeasureConflicts(), Sum()))

    def __call__(self, batch: Rollouts) -> tuple[Outcome, dict[str, float]]:
        """The outcome of one step, and what is logged of it.

        Metrics: ``concord/<stage>/<metric>`` of the chain; ``concord/conflict/mixed`` and ``/cancelled``
        (:class:`concord.stages.MeasureConflicts`); ``concord/kept``, the share of rollouts; ``concord/empty_groups``,
        the share of prompts; ``concord/rewards/<name>/mean`` over those scored and ``/missing``, the share not scored.
        """
        outcome = self.method.signal(batch, self.state)
        self.state = outcome.state
        if not len(batch.groups):
            return outcome, {}
        conflict = self._conflict(batch).metrics
        named = {
            **outcome.metrics,
            "conflict/mixed": conflict["measure_conflicts/mixed"],
            "conflict/cancelled": conflict["measure_conflicts/cancelled"],
            "kept": outcome.keep.float().mean(),
            "empty_groups": outcome.empty_groups.float().mean(),
        }
        missing = batch.rewards.isnan()
        for column, name in enumerate(batch.names):
            named[f"rewards/{name}/mean"] = batch.rewards[:, column].nanmean()
            named[f"rewards/{name}/missing"] = missing[:, column].float().mean()
        values = torch.stack([value.float() for value in named.values()]).tolist()
        return outcome, {f"concord/{name}": value for name, value in zip(named, values, strict=True)}
