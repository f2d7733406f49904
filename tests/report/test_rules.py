"""Where each rule begins to speak: silent at its bar, loud by one unit in the last place beyond it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from concord.report import analyse
from concord.report.analysis import Analysis, Estimate, Pair, Trend
from concord.report.findings import RULES, judge
from concord.report.rules.rule import Hit, beyond_chance, holds
from tests.report.fake import FakeDump, group
from tests.report.simulate import independent, run

HEALTHY = analyse(run(independent(2), ("a", "b"), 0, steps=8, prompts=5), taus=(), examples=0)
"""Forty groups of two rewards about which no rule has anything to say but that the two cancel as chance has it."""


def above(bar: float) -> float:
    return math.nextafter(bar, math.inf)


def below(bar: float) -> float:
    return math.nextafter(bar, -math.inf)


def sure(value: float, groups: int = 40) -> Estimate:
    """Without any error, so that only its size and its groups count."""
    return Estimate(value, 0.0, groups)


def moved(change: float, error: float = 0.0, steps: int = 8) -> Trend:
    return Trend(max(0.0, -change), max(0.0, change), error, steps)


def pair(correlation: Estimate) -> tuple[Pair, ...]:
    return (dataclasses.replace(HEALTHY.conflict.pairs[0], correlation=correlation),)


def changed(changes: Mapping[str, Any], analysis: Analysis = HEALTHY) -> Analysis:
    """The healthy analysis with other numbers, by ``part.field``; a field alone is the analysis's own."""
    for path, value in changes.items():
        part, _, field = path.rpartition(".")
        if part in ("a", "b"):
            rewards = list(analysis.rewards)
            rewards["ab".index(part)] = dataclasses.replace(rewards["ab".index(part)], **{field: value})
            analysis = dataclasses.replace(analysis, rewards=tuple(rewards))
        elif part:
            analysis = dataclasses.replace(
                analysis, **{part: dataclasses.replace(getattr(analysis, part), **{field: value})}
            )
        else:
            analysis = dataclasses.replace(analysis, **{field: value})
    return analysis


def hits(rule: str, changes: Mapping[str, Any]) -> list[Hit]:
    return list(next(r for r in RULES if r.name == rule).find(changed(changes)))


FALLS = {"a.std": 1.0, "b.std": 1.0, "b.trend": None}
LATE = {"a.saturated_since": 2, "a.low": 2.0, "a.high": 4.0}
SPEAKING = {"a.dead_group_share": 0.5, "b.dead_group_share": 0.5}
EXCESS, R, GAIN = "conflict.cancelled_excess", "conflict.pairs", "conflict.whitening_gain"
A_SHARE, A_RAW, A_DEAD, A_LENGTH = (
    "a.share_of_advantage", "a.share_of_raw_sum", "a.dead_group_share", "a.length_correlation",
)  # fmt: skip
SILENT, STATUSES, TREND = "conflict.silent_groups", "a.statuses", "a.trend"
FAINT = {"a.low": 0.0, "a.high": 8.0, "a.std": 1.0, "a.dead_group_share": 0.5, "a.within_group_std": 4e-4}
"""Live groups spread by 8e-4, a ten-thousandth of the size; the run spreads by more."""
ALONE = {"rewards": HEALTHY.rewards[:1], R: ()}


def late(mean: float, spread: float = 0.0) -> dict[str, Any]:
    """Steps 0 and 1 before it was saturated at the top, 2 to 4 after."""
    means = [4.0, 4.0, mean - spread, mean, mean + spread]
    points = [
        dataclasses.replace(HEALTHY.series[0], step=step, mean={"a": value, "b": 0.0})
        for step, value in enumerate(means)
    ]
    return LATE | {"series": tuple(points)}


BARS: dict[str, list[tuple[dict[str, Any], str | None]]] = {
    "cancelled_signal": [
        ({EXCESS: sure(0.05)}, "info"),
        ({EXCESS: sure(above(0.05))}, "warning"),
        ({EXCESS: sure(0.2)}, "warning"),
        ({EXCESS: sure(above(0.2))}, "serious"),
        ({EXCESS: sure(0.3, groups=8)}, "serious"),
        ({EXCESS: sure(0.3, groups=7)}, "info"),
        ({EXCESS: Estimate(0.3, 1.0, 40)}, "info"),
        ({EXCESS: Estimate(math.nan, math.nan, 0)}, None),
        (ALONE, None),
    ],
    "faint_reward": [
        (FAINT, None),
        (FAINT | {"a.within_group_std": below(4e-4)}, "warning"),
        (FAINT | {"a.within_group_std": below(4e-4), A_SHARE: 0.05}, "warning"),
        (FAINT | {"a.within_group_std": below(4e-4), A_SHARE: below(0.05)}, "info"),
        (FAINT | {"a.low": -8.0, "a.high": 0.0, "a.within_group_std": below(4e-4)}, "warning"),
        (FAINT | {"a.high": 1.0, "a.std": 8.0}, None),
        (FAINT | {"a.high": 1.0, "a.std": 8.0, "a.within_group_std": below(4e-4)}, "warning"),
        (FAINT | {"a.within_group_std": 0.0}, None),
        (FAINT | {"a.dead_group_share": 1.0, "a.within_group_std": below(4e-4)}, None),
        (FAINT | {"a.dead_group_share": math.nan, "a.within_group_std": math.nan}, None),
    ],
    "opposed_rewards": [
        ({R: pair(sure(-0.15))}, None),
        ({R: pair(sure(below(-0.15)))}, "warning"),
        ({R: pair(sure(-0.5))}, "warning"),
        ({R: pair(sure(below(-0.5)))}, "serious"),
        ({R: pair(sure(-0.9, groups=7))}, None),
        ({R: pair(sure(-0.9)), "a.weight": 0.0}, None),
        ({R: pair(sure(-0.9)), "b.weight": 0.0}, None),
    ],
    "same_reward": [
        ({R: pair(sure(0.95))}, None),
        ({R: pair(sure(above(0.95)))}, "info"),
        ({R: pair(sure(0.99, groups=7))}, None),
    ],
    "dominant_reward": [
        ({A_SHARE: 0.8}, None),
        ({A_SHARE: above(0.8)}, "warning"),
        ({A_SHARE: 0.75 + 0.2, "a.weight": 3.0}, None),
        ({A_SHARE: above(0.75 + 0.2), "a.weight": -3.0}, "warning"),
        ({A_SHARE: 0.9, "a.weight": 0.0, "b.weight": 0.0}, None),
        (ALONE | {"a.share_of_advantage": 1.0}, None),
    ],
    "raw_scale": [
        ({A_RAW: 0.9, A_SHARE: 0.5}, None),
        ({A_RAW: above(0.9), A_SHARE: 0.5}, "info"),
        ({A_RAW: 0.75 + 0.2, A_SHARE: 0.75}, None),
        ({A_RAW: above(0.75 + 0.2), A_SHARE: 0.75}, "info"),
        (ALONE | {A_RAW: 1.0, A_SHARE: 0.5}, None),
    ],
    "whitening_gain": [
        ({GAIN: 3.0}, None),
        ({GAIN: above(3.0)}, "warning"),
        ({GAIN: 10.0}, "warning"),
        ({GAIN: above(10.0)}, "serious"),
        ({GAIN: math.nan}, None),
    ],
    "failed_scores": [
        ({STATUSES: {"scored": 0.99, "abstained": 0.01}}, None),
        ({STATUSES: {"scored": 0.99, "failed": 0.01}}, "info"),
        ({STATUSES: {"scored": 0.98, "timed out": above(0.01)}}, "warning"),
        ({STATUSES: {"scored": 0.9, "invalid": 0.1}}, "warning"),
        ({STATUSES: {"scored": 0.8, "invalid": above(0.1)}}, "serious"),
        ({STATUSES: {"scored": 0.8, "failed": 0.06, "timed out": 0.06}}, "serious"),
    ],
    "missing_scores": [
        ({STATUSES: {"scored": 0.99, "abstained": 0.01}}, None),
        ({STATUSES: {"scored": 0.98, "abstained": 0.01, "failed": 0.01}}, None),
        ({STATUSES: {"scored": 0.98, "not scored": above(0.01)}}, "info"),
        ({STATUSES: {"scored": 0.01, "not scored": 0.99}}, "info"),
        ({STATUSES: {"scored": 0.0, "abstained": above(0.99)}}, "warning"),
    ],
    "unscored_rollouts": [
        ({"rollouts": 100, "quality.unscored": 0}, None),
        ({"rollouts": 100, "quality.unscored": 1}, "info"),
        ({"rollouts": 99, "quality.unscored": 1}, "warning"),
    ],
    "odd_groups": [
        ({"quality.odd_groups": 0}, None),
        ({"quality.odd_groups": 1}, "info"),
        ({"quality.odd_groups": 0, "quality.singletons": 39}, None),
        ({"quality.odd_groups": 0, "quality.singletons": 40}, "serious"),
    ],
    "few_groups": [
        ({SILENT: 0.8}, None),  # eight of forty speak
        ({SILENT: 0.825}, "info"),
        ({SILENT: 0.825, "quality.singletons": 40}, None),
    ],
    "skipped_input": [
        ({"quality.skipped": {}}, None),
        ({"quality.skipped": {"not JSON": 1}, "rollouts": 99}, "info"),
        ({"quality.skipped": {"not JSON": 1, "empty": 1}, "rollouts": 198}, "info"),
        ({"quality.skipped": {"not JSON": 1}, "rollouts": 98}, "warning"),
    ],
    "hacked_reward": [
        (FALLS | {TREND: moved(-0.2)}, "warning"),
        (FALLS | {TREND: moved(above(-0.2))}, None),
        (FALLS | {TREND: moved(0.5)}, None),
        (FALLS | {TREND: moved(-0.2), "a.std": 0.0}, None),
        (FALLS | {TREND: moved(-0.2), "a.std": 2.0}, None),
        (FALLS | {TREND: moved(-0.2), "b.trend": moved(0.2)}, "serious"),
        (FALLS | {TREND: moved(-0.2), "b.trend": moved(below(0.2))}, "warning"),
        # Two thirds of three steps: 4 (1 + 4 / (2 x 3 - 2)) = 8 errors.
        (FALLS | {TREND: moved(-1.0, 0.125, 3)}, None),
        (FALLS | {TREND: moved(below(-1.0), 0.125, 3)}, "warning"),
    ],
    "dead_reward": [
        (SPEAKING | {A_DEAD: 0.95}, None),
        (SPEAKING | {A_DEAD: above(0.95)}, "warning"),
        (SPEAKING | {A_DEAD: 1.0, "b.dead_group_share": math.nan}, "serious"),
        (SPEAKING | {A_DEAD: 1.0, "groups": 8}, "warning"),
        (SPEAKING | {A_DEAD: 1.0, "groups": 7}, None),
        (SPEAKING | {A_DEAD: 1.0, "a.saturated_since": 3}, None),
    ],
    "saturated_reward": [
        ({}, None),
        (late(3.0), "info"),
        (late(below(3.0)), "warning"),
        (late(2.0), "warning"),
        (late(4.0), "info"),
    ],
    "silent_groups": [
        ({SILENT: 0.8, "groups": 63}, None),  # 0.8 - 2 x 0.0504
        ({SILENT: 0.8, "groups": 65}, "warning"),  # 0.8 - 2 x 0.0496
        ({SILENT: 0.95, "groups": 10_000}, "warning"),
        ({SILENT: above(0.95), "groups": 10_000}, "serious"),
        ({SILENT: 1.0, "groups": 8}, "serious"),
        ({SILENT: 1.0, "groups": 7}, None),
        ({SILENT: 1.0, "quality.singletons": 40}, None),
    ],
    "length_coupling": [
        ({A_LENGTH: sure(0.3)}, None),
        ({A_LENGTH: sure(above(0.3))}, "info"),
        ({A_LENGTH: sure(-0.3)}, None),
        ({A_LENGTH: sure(below(-0.3))}, "info"),
        ({A_LENGTH: sure(0.5)}, "info"),
        ({A_LENGTH: sure(above(0.5))}, "warning"),
        ({A_LENGTH: sure(below(-0.5))}, "warning"),
        ({A_LENGTH: sure(0.9), "a.name": "brevity"}, "info"),
        ({A_LENGTH: sure(0.9, groups=7)}, None),
    ],
}


CASES = [
    pytest.param(rule, changes, severity, id=f"{rule}-{number}-{severity}")
    for rule, rows in BARS.items()
    for number, (changes, severity) in enumerate(rows)
]


def test_every_rule_has_its_bars() -> None:
    assert set(BARS) == {rule.name for rule in RULES}


@pytest.mark.parametrize(("rule", "changes", "severity"), CASES)
def test_a_rule_speaks_beyond_its_bar_and_not_at_it(rule: str, changes: dict[str, Any], severity: str | None) -> None:
    assert [hit.severity for hit in hits(rule, changes)] == ([] if severity is None else [severity])


@pytest.mark.parametrize(
    ("groups", "said"),
    [(7, "these are too few groups to tell them apart"), (8, "so there is little conflict beyond chance")],
)
def test_few_groups_and_little_conflict_are_told_apart(groups: int, said: str) -> None:
    (hit,) = hits("cancelled_signal", {EXCESS: sure(0.0, groups)})
    assert hit.message.endswith(said)


@pytest.mark.parametrize(("r", "way"), [(0.4, "longer"), (-0.4, "shorter")])
def test_a_coupling_says_which_way(r: float, way: str) -> None:
    (hit,) = hits("length_coupling", {A_LENGTH: sure(r)})
    assert hit.message.startswith(f"`a` goes with {way} responses")
    assert hit.message.endswith(f"is {r:.2f} inside a group")


def test_all_dead_rewards_are_serious_and_say_which_end_they_are_stuck_at() -> None:
    both = {A_DEAD: 1.0, "b.dead_group_share": 1.0, "a.low": -1.0, "a.high": 5.0, "b.low": -2.0, "b.high": 6.0}
    ends = {"a.at_low": above(0.5), "a.at_high": 0.1, "b.at_low": 0.5, "b.at_high": 0.5}
    a, b = hits("dead_reward", both | ends)
    assert (a.severity, b.severity) == ("serious", "serious")
    assert a.message.endswith("50 % of its scores are -1")
    assert b.message.endswith("of groups")
    assert hits("dead_reward", both | {"a.at_low": 0.1, "a.at_high": 0.9})[0].message.endswith("scores are 5")
    assert hits("dead_reward", both | {"a.at_low": 0.9, "a.at_high": 0.9})[0].message.endswith("scores are -1")


def test_the_mean_of_a_saturated_reward_is_that_since_it_is() -> None:
    (hit,) = hits("saturated_reward", late(3.5, spread=0.25))
    assert hit.numbers == {"since": 2.0, "mean": 3.5}


@pytest.mark.parametrize(
    ("value", "error", "count", "beyond"),
    [
        (1.0, 0.125, 5, False),  # 4 (1 + 4 / 4) = 8 errors
        (above(1.0), 0.125, 5, True),
        (below(-1.0), 0.125, 5, True),
        (20.0, 1.0, 2, False),  # 4 (1 + 4 / 1)
        (above(20.0), 1.0, 2, True),
        (9.0, 0.0, 1, False),
        (9.0, math.inf, 9, False),
        (9.0, math.nan, 9, False),
        (0.0, 0.0, 9, False),
    ],
)
def test_what_is_beyond_chance(value: float, error: float, count: int, beyond: bool) -> None:
    assert beyond_chance(value, error, count) is beyond


def test_an_estimate_holds_from_eight_groups_on() -> None:
    assert holds(sure(0.1, groups=8))
    assert not holds(sure(0.1, groups=7))


VERDICTS: list[tuple[dict[str, Any], str]] = [
    ({TREND: None}, "undecided"),
    (FALLS | {TREND: moved(0.2)}, "optimised"),
    (FALLS | {TREND: moved(below(0.2))}, "steady"),
    (FALLS | {TREND: moved(-0.2)}, "falling"),
    (FALLS | {TREND: moved(0.2), "b.trend": moved(-0.2)}, "hacked"),
    ({TREND: None, A_SHARE: 0.05}, "undecided"),
    ({TREND: None, A_SHARE: below(0.05)}, "ignored"),
    ({TREND: None, A_SHARE: math.nan}, "ignored"),
    (ALONE | {TREND: None, A_SHARE: 0.0}, "undecided"),
    ({A_SHARE: above(0.8)}, "dominant"),
    ({R: pair(sure(below(-0.15)))}, "cancelled"),
    (SPEAKING | {A_DEAD: above(0.95)}, "dead"),
    (SPEAKING | {"b.dead_group_share": 1.0, TREND: None}, "undecided"),  # the other's fault is the other's
    (late(4.0) | {A_DEAD: 1.0}, "saturated"),
    ({A_DEAD: math.nan, "a.saturated_since": 3}, "unmeasured"),
]


@pytest.mark.parametrize(("changes", "verdict"), VERDICTS)
def test_the_verdict_on_a_reward(changes: dict[str, Any], verdict: str) -> None:
    assert judge(changed(changes)).rewards[0].verdict == verdict


def test_three_of_the_worst_are_summed_up_and_the_headline_is_not_said_twice() -> None:
    """Five warnings, one of them the headline's own."""
    sick: dict[str, Any] = {EXCESS: sure(0.1), R: pair(sure(-0.3)), GAIN: 4.0, A_LENGTH: sure(0.8)}
    sick[STATUSES] = {"failed": 0.05, "scored": 0.95}
    judged = judge(changed(sick))
    grave = [finding for finding in judged.findings if finding.severity != "info"]
    assert [f.rule for f in grave] == [
        "length_coupling", "opposed_rewards", "cancelled_signal", "whitening_gain", "failed_scores",
    ]  # fmt: skip
    assert judged.count("warning") == 5
    assert judged.count("serious") == 0
    assert judged.verdict[3:] == tuple(f"{grave[i].message}." for i in (0, 1, 3))
    assert judge(HEALTHY).verdict[-1] == "No rule raised a warning."
    assert judge(HEALTHY).verdict[0].endswith("scored by `a` and `b`.")


def test_a_single_reward_has_no_sentence_about_conflict() -> None:
    one = judge(changed(ALONE))
    assert [said.split()[0] for said in one.verdict] == [f"{one.rollouts:,}", "`a`", "No"]


@pytest.mark.parametrize(("steps", "said"), [(1, "over 1 step, scored by"), (2, "over 2 steps, scored by")])
def test_one_step_is_not_several(steps: int, said: str) -> None:
    assert said in judge(changed({"steps": steps})).verdict[0]


def test_exactly_one_rollout_in_a_hundred_without_a_score_is_not_above_one_percent() -> None:
    scores = np.tile([0.0, 1.0, 2.0, 3.0], 25)[:, None]
    scores[0] = np.nan
    found = analyse(FakeDump([group(scores)], ("a",)), taus=(), examples=0).findings
    assert "missing_scores" not in {finding.rule for finding in found}
