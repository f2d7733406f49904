"""The curves of the page: over the threshold, over the steps, and of several analyses in one chart."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from concord.report.analysis import Analysis
from concord.report.page.axis import SHARE, Axis, fitted
from concord.report.page.charts import Line, LineChart, Point, line_chart
from concord.report.page.text import fixed
from concord.report.records import Selection, StepPoint

Measure = Callable[[StepPoint], float]

# By name: which colour (8 is the first again, dashed: the weight hides what is kept where groups are of one size).
_SWEPT: Mapping[str, tuple[int, Callable[[Selection], float]]] = {
    "kept": (1, lambda s: s.kept),
    "groups emptied": (2, lambda s: s.groups_emptied),
    "query weight": (8, lambda s: s.query_weight),
    "cancelled left": (4, lambda s: s.cancelled_share),
    "r with GDPO": (5, lambda s: s.correlation_with_gdpo),
}
_CONFLICT: tuple[tuple[str, Measure], ...] = (
    ("mixed signs", lambda p: p.mixed_sign_share),
    ("cancelled", lambda p: p.cancelled_share),
    ("kept", lambda p: p.kept),
)


def over_tau(analysis: Analysis) -> LineChart:
    """What GD2PO leaves, at every threshold."""
    lines = [
        Line(name, hue, _swept(analysis, measure), signed=name == "r with GDPO")
        for name, (hue, measure) in _SWEPT.items()
    ]
    # The correlation may be negative, where nothing else is.
    lowest = min((y for line in lines for _, y in line.points if math.isfinite(y)), default=0.0)
    y = SHARE if lowest >= 0 else Axis(-1.0, 1.0, (-1.0, -0.5, 0.0, 0.5, 1.0), share=True)
    return line_chart("GD2PO over the threshold", lines, x_title="tau", y=y, write_x=_tau)


def means(analysis: Analysis) -> tuple[LineChart, ...]:
    """Each reward's mean over the steps, each with its own axis: they differ in units."""
    return tuple(
        line_chart(reward.name, [_over_steps("mean", hue, analysis, _of(reward.name, "mean"))], x_title="step")
        for hue, reward in enumerate(analysis.rewards, start=1)
    )


def drift(analysis: Analysis) -> tuple[LineChart, ...]:
    """Everything else that is followed over the steps."""

    def by_reward(title: str, field: str) -> LineChart:
        lines = [
            _over_steps(reward.name, hue, analysis, _of(reward.name, field))
            for hue, reward in enumerate(analysis.rewards, start=1)
        ]
        return line_chart(title, lines, x_title="step", y=SHARE)

    conflict = [_over_steps(name, hue, analysis, measure) for hue, (name, measure) in enumerate(_CONFLICT, start=1)]
    gain = [_over_steps("gain", 1, analysis, lambda p: p.whitening_gain)]
    length = [_over_steps(f"mean, {analysis.quality.length_unit}", 1, analysis, lambda p: p.length)]
    return (
        line_chart("Conflict", conflict, x_title="step", y=SHARE),
        by_reward("Share of |A|", "share_of_advantage"),
        by_reward("Dead groups", "dead_group_share"),
        line_chart("Whitening gain", gain, x_title="step", y=_from_zero(gain)),
        line_chart("Response length", length, x_title="step", y=_from_zero(length)),
    )


def learner(analysis: Analysis) -> tuple[LineChart, ...]:
    """Each metric of a learner beside the policy, with its own axis."""
    return tuple(
        line_chart(metric.name, [_over_steps("mean", 1, analysis, _learnt(metric.name))], x_title="step")
        for metric in analysis.learner
    )


def compared(analyses: Mapping[str, Analysis]) -> tuple[LineChart, ...]:
    """One line an analysis: over the steps, over tau, and the mean of each reward that any of them has."""

    def steps(measure: Measure) -> list[Line]:
        return [_over_steps(name, hue, a, measure) for hue, (name, a) in enumerate(analyses.items(), start=1)]

    def taus(measure: Callable[[Selection], float]) -> list[Line]:
        return [Line(name, hue, _swept(a, measure)) for hue, (name, a) in enumerate(analyses.items(), start=1)]

    rewards = dict.fromkeys(reward.name for analysis in analyses.values() for reward in analysis.rewards)
    gain = steps(lambda p: p.whitening_gain)
    return (
        line_chart("Cancelled share", steps(lambda p: p.cancelled_share), x_title="step", y=SHARE),
        line_chart("Mixed-sign rollouts", steps(lambda p: p.mixed_sign_share), x_title="step", y=SHARE),
        line_chart("Whitening gain", gain, x_title="step", y=_from_zero(gain)),
        line_chart("Kept, over tau", taus(lambda s: s.kept), x_title="tau", y=SHARE, write_x=_tau),
        line_chart("Cancelled left, over tau", taus(lambda s: s.cancelled_share), x_title="tau", y=SHARE, write_x=_tau),
        *(line_chart(f"Mean of {name}", steps(_of(name, "mean")), x_title="step") for name in rewards),
    )


def _swept(analysis: Analysis, measure: Callable[[Selection], float]) -> tuple[Point, ...]:
    return tuple((chosen.tau, measure(chosen)) for chosen in analysis.sweep if chosen.tau is not None)


def _of(reward: str, field: str) -> Measure:
    def measure(point: StepPoint) -> float:
        by_reward: Mapping[str, float] = getattr(point, field)
        return by_reward.get(reward, math.nan)

    return measure


def _learnt(metric: str) -> Measure:
    return lambda point: point.learner.get(metric, math.nan)


def _over_steps(name: str, hue: int, analysis: Analysis, measure: Measure) -> Line:
    """The mean over the runs at each step; with several runs, the band is from their lowest to their highest."""
    values: dict[int, list[float]] = {}
    for point in analysis.series:
        values.setdefault(point.step, []).append(measure(point))
    points, band = [], []
    for step, found in sorted(values.items()):
        finite = [value for value in found if math.isfinite(value)]
        points.append((float(step), sum(finite) / len(finite) if finite else math.nan))
        if finite:
            band.append((float(step), min(finite), max(finite)))
    several = any(low < high for _, low, high in band)
    return Line(name, hue, tuple(points), tuple(band) if several else ())


def _from_zero(lines: list[Line]) -> Axis:
    return fitted([0.0, *(y for line in lines for _, y in line.points)])


def _tau(value: float) -> str:
    return fixed(value, 2)
