"""What an analysis of rollouts says: a tree of plain records."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from concord.report.learner import LearnerMetric
from concord.report.records import (
    Conflict,
    Estimate,
    Example,
    ExampleRollout,
    Finding,
    Histogram,
    Pair,
    Quality,
    Queries,
    Query,
    Reward,
    Selection,
    Settings,
    Severity,
    StepPoint,
    Trend,
)

__all__ = [
    "Analysis",
    "Conflict",
    "Estimate",
    "Example",
    "ExampleRollout",
    "Finding",
    "Histogram",
    "LearnerMetric",
    "Pair",
    "Quality",
    "Queries",
    "Query",
    "Reward",
    "Selection",
    "Settings",
    "Severity",
    "StepPoint",
    "Trend",
]


@dataclass(frozen=True)
class Analysis:
    """What the rollouts say, whole.

    Attributes:
        rollouts, groups, steps, runs: how many.
        run_names: the runs' names, at most 16.
        rewards: in the dump's order.
        conflict, queries, quality, settings: see there.
        sweep: GD2PO over tau, ascending.
        methods: GRPO, GDPO, GD2PO at ``Settings.tau`` (the SNR rule), GD2PO-hard.
        series: by run and step, ascending.
        learner: the metrics of a learner beside the policy; empty where the dump tells of none.
        examples: the most conflicted groups.
        findings: the most severe first.
        verdict: the whole in three to six sentences.
    """

    rollouts: int
    groups: int
    steps: int
    runs: int
    run_names: tuple[str, ...]
    rewards: tuple[Reward, ...]
    conflict: Conflict
    queries: Queries
    quality: Quality
    settings: Settings
    sweep: tuple[Selection, ...]
    methods: tuple[Selection, ...]
    series: tuple[StepPoint, ...]
    learner: tuple[LearnerMetric, ...]
    examples: tuple[Example, ...]
    findings: tuple[Finding, ...] = ()
    verdict: tuple[str, ...] = ()

    NUMBERS: ClassVar[tuple[str, ...]] = (
        "cancelled_share",
        "mixed_sign_share",
        "whitening_gain",
        "silent_groups",
        "rollouts",
        "groups",
        "steps",
        "runs",
        "warnings",
        "serious",
    )
    """The headline: numbers at the top level of :meth:`to_dict`."""

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data. The headline numbers stand at the top level, rewards are by name."""
        plain: dict[str, Any] = _plain(self)
        conflict, quality = plain["conflict"], plain["quality"]
        rewards = {
            reward.pop("name"): {**reward, "saturation": _plain(record.saturation)}
            for reward, record in zip(plain["rewards"], self.rewards, strict=True)
        }
        headline = ("cancelled_share", "mixed_sign_share", "whitening_gain", "silent_groups")
        return {
            **plain,
            **{name: conflict[name] for name in headline},
            **{name: quality[name] for name in ("inferred", "missing", "skipped")},
            "rewards": rewards,
            "warnings": self.count("warning"),
            "serious": self.count("serious"),
        }

    def count(self, severity: Severity) -> int:
        """Findings of exactly that severity."""
        return sum(finding.severity == severity for finding in self.findings)


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
