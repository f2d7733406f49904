"""What is to be told of a learner's step beside the rollouts."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from concord.core.signal import Outcome
from concord.methods import Method


def learner_metrics(method: Method, measured: Mapping[str, Tensor], outcome: Outcome) -> dict[str, Tensor]:
    """What the method's learner measured, and what the stages that read its columns made of it, by name.

    Args:
        method: with a learner.
        measured: the learner's own metrics.
        outcome: of the chain on the same rollouts.
    """
    written = frozenset() if method.learner is None else method.learner.writes
    readers = {stage.name for stage in method.signal.stages if stage.needs & written}
    parts = {name: name.partition("/") for name in outcome.metrics}
    return {**measured, **{parts[name][2]: outcome.metrics[name] for name in parts if parts[name][0] in readers}}
