"""What a learner beside the policy measured, over the run."""

from __future__ import annotations

from dataclasses import dataclass

from concord.report.records import Trend


@dataclass(frozen=True)
class LearnerMetric:
    """One of its metrics.

    Attributes:
        name: its name, such as "loss".
        mean: over the groups of all steps at which it could be measured; NaN if there is none.
        trend: of its mean over the run; None below 15 steps.
    """

    name: str
    mean: float
    trend: Trend | None
