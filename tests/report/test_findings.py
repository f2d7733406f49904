"""Healthy runs are left alone, sick ones are named: measured on simulated runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest

from concord.report import analyse
from concord.report.analysis import Analysis
from tests.report.fake import FakeDump, group
from tests.report.simulate import (
    Scores,
    agreeing,
    dominated,
    hacked,
    independent,
    learning,
    opposed,
    run,
    saturating,
)

SEEDS = 8
HEALTHY: dict[str, tuple[Scores, tuple[str, ...]]] = {
    "one reward": (independent(1), ("a",)),
    "two independent": (independent(2), ("a", "b")),
    "three independent": (independent(3), ("a", "b", "c")),
    "four independent": (independent(4), ("a", "b", "c", "d")),
    "agreeing": (agreeing, ("a", "b")),
    "learning": (learning, ("a", "b")),
}
SIZES = [
    {"steps": 1, "prompts": 12, "size": 4},
    {"steps": 1, "prompts": 64, "size": 8},
    {"steps": 20, "prompts": 2, "size": 4},
    {"steps": 20, "prompts": 8, "size": 8},
    {"steps": 60, "prompts": 4, "size": 4},
    {"steps": 40, "prompts": 8, "size": 16},
]
"""From a glance at one step to a small run: few groups are where chance looks most like a conflict."""


def diagnose(score: Scores, names: tuple[str, ...], seed: int, **size: int) -> Analysis:
    return analyse(run(score, names, seed, **size), taus=(), examples=0)


def alarms(analysis: Analysis) -> list[str]:
    return [finding.rule for finding in analysis.findings if finding.severity != "info"]


def healthy_runs() -> Iterator[tuple[str, Analysis]]:
    for kind, (score, names) in HEALTHY.items():
        for number, size in enumerate(SIZES):
            for seed in range(SEEDS):
                yield kind, diagnose(score, names, 1000 * number + seed, **size)


def test_fewer_than_one_healthy_run_in_twenty_raises_a_warning(capsys: pytest.CaptureFixture[str]) -> None:
    runs, raised, rules = Counter[str](), Counter[str](), Counter[str]()
    for kind, analysis in healthy_runs():
        runs[kind] += 1
        raised[kind] += bool(alarms(analysis))
        rules.update(alarms(analysis))
    with capsys.disabled():
        print(f"\nfalse alarms: {raised.total()} of {runs.total()} healthy runs {dict(raised)} {dict(rules)}")
    assert runs.total() == len(HEALTHY) * len(SIZES) * SEEDS
    assert raised.total() < 0.05 * runs.total()
    assert all(raised[kind] < 0.1 * runs[kind] for kind in runs)


SICK: dict[str, tuple[Scores, tuple[str, ...], str, tuple[str, ...]]] = {
    "opposed": (opposed, ("correctness", "brevity"), "opposed_rewards", ("correctness", "brevity")),
    "cancelled": (opposed, ("correctness", "brevity"), "cancelled_signal", ()),
    "hacked": (hacked, ("correctness", "format"), "hacked_reward", ("correctness", "format")),
    "saturated": (saturating, ("correctness", "format"), "saturated_reward", ("format",)),
    "dominated": (dominated, ("loud", "rare"), "dominant_reward", ("loud",)),
}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("sickness", SICK)
def test_a_sick_run_is_named(sickness: str, seed: int) -> None:
    score, names, rule, rewards = SICK[sickness]
    analysis = diagnose(score, names, seed, steps=40, prompts=8, size=8)
    found = [finding for finding in analysis.findings if finding.rule == rule]
    assert [finding.rewards for finding in found] == [rewards]
    assert (found[0].severity == "info") == (rule == "saturated_reward")  # at the top it is done, not ill


def test_the_sentences_carry_the_numbers() -> None:
    analysis = diagnose(opposed, ("correctness", "brevity"), 0, steps=30)
    pair, c = analysis.conflict.pairs[0], analysis.conflict
    said = {finding.rule: finding.message for finding in analysis.findings}
    assert (
        f"`correctness` opposes `brevity` in {100 * pair.opposed_groups:.0f} % of the groups" in said["opposed_rewards"]
    )
    assert f"{100 * c.cancelled_share:.0f} % of the signal cancels" in said["cancelled_signal"]
    assert c.cancelled_share > c.cancelled_by_chance + 0.05
    assert [reward.verdict for reward in analysis.rewards] == ["cancelled", "cancelled"]
    assert 3 <= len(analysis.verdict) <= 6


def test_saturation_says_since_when() -> None:
    analysis = diagnose(saturating, ("correctness", "format"), 0, steps=40)
    assert analysis.rewards[1].saturated_since == 20  # progress passes one half at step 20 of 0..39
    assert analysis.rewards[1].verdict == "saturated"
    assert analysis.rewards[0].saturated_since is None
    message = next(f.message for f in analysis.findings if f.rule == "saturated_reward")
    assert "`format` is saturated since step 20" in message


def test_a_reward_stuck_at_the_bottom_is_a_warning() -> None:
    def dying(generator: np.random.Generator, size: int, progress: float) -> np.ndarray:
        return 1 - saturating(generator, size, progress)

    analysis = diagnose(dying, ("a", "b"), 0, steps=40)
    assert [f.severity for f in analysis.findings if f.rule == "saturated_reward"] == ["warning"]


def test_hacking_names_who_fell_and_who_rose() -> None:
    analysis = diagnose(hacked, ("correctness", "format"), 0, steps=40)
    finding = analysis.findings[0]
    assert (finding.rule, finding.severity) == ("hacked_reward", "serious")
    assert [reward.verdict for reward in analysis.rewards] == ["falling", "hacked"]


def test_what_chance_gives_is_known_in_closed_form() -> None:
    """Two independent normal rewards: E|x + y| / E(|x| + |y|) = 1 / sqrt(2); half the signs differ."""

    def normal(generator: np.random.Generator, size: int, progress: float) -> np.ndarray:
        return generator.normal(size=(size, 2))

    c = diagnose(normal, ("a", "b"), 0, steps=20, prompts=16, size=16).conflict
    assert c.cancelled_by_chance == pytest.approx(1 - 0.5**0.5, abs=0.01)
    assert c.mixed_sign_by_chance == pytest.approx(0.5, abs=0.01)
    assert c.pairs[0].opposed_by_chance == pytest.approx(0.5, abs=0.02)


def repeated(scores: np.ndarray, groups: int = 20, **more: object) -> FakeDump:
    return FakeDump([group(scores, key=str(p), **more) for p in range(groups)], ("a", "b")[: scores.shape[1]])


def rules(dump: FakeDump, **more: object) -> dict[str, str]:
    return {finding.rule: finding.severity for finding in analyse(dump, taus=(), **more).findings}


UP, DOWN = np.array([0.0, 1.0, 2.0, 3.0]), np.array([3.0, 2.0, 1.0, 0.0])


def test_exact_opposites_are_serious() -> None:
    found = rules(repeated(np.stack([UP, DOWN], axis=1)))
    assert found["opposed_rewards"] == found["cancelled_signal"] == "serious"


def test_a_negative_weight_turns_opposites_into_the_same() -> None:
    found = rules(repeated(np.stack([UP, DOWN], axis=1)), weights={"b": -1.0})
    assert "opposed_rewards" not in found
    assert found["same_reward"] == "info"


def test_a_reward_of_weight_zero_opposes_nobody() -> None:
    found = rules(repeated(np.stack([UP, DOWN], axis=1)), weights={"b": 0.0})
    assert "opposed_rewards" not in found


def test_a_dead_reward_and_a_silent_run() -> None:
    assert rules(repeated(np.stack([UP, np.ones(4)], axis=1)))["dead_reward"] == "warning"
    silent = rules(repeated(np.ones((4, 2))))
    assert silent["dead_reward"] == silent["silent_groups"] == "serious"


def test_a_high_gain() -> None:
    quiet, loud = np.ones((4, 1)), UP[:, None]
    dump = FakeDump([group(loud if p == 0 else quiet, key=str(p)) for p in range(40)], ("a",))
    assert rules(dump)["whitening_gain"] == "warning"


def test_length_coupling_warns_unless_the_name_says_so() -> None:
    scores = UP[:, None]
    dump = repeated(scores, lengths=np.array([10.0, 20.0, 30.0, 45.0]))
    assert rules(dump)["length_coupling"] == "warning"
    dump.rewards = ("length_penalty",)
    assert rules(dump)["length_coupling"] == "info"


def test_scale_in_a_raw_sum_is_told_without_alarm() -> None:
    generator = np.random.default_rng(0)
    rows = [group(generator.random((8, 2)) * [100, 1], key=str(p)) for p in range(40)]
    assert rules(FakeDump(rows, ("a", "b"))) == {"cancelled_signal": "info", "raw_scale": "info"}


def test_faults_of_the_data() -> None:
    scores = np.stack([UP, UP], axis=1)
    scores[0] = np.nan
    statuses = [["failed", *["scored"] * 3], ["not scored", *["scored"] * 3]]
    dump = repeated(scores, statuses=statuses)
    dump.skipped["not JSON"] = 3
    found = rules(dump)
    assert found["failed_scores"] == "serious"  # 25 % of rollouts
    assert found["missing_scores"] == "info"
    assert found["unscored_rollouts"] == found["skipped_input"] == "warning"


def test_groups_of_one_compare_nothing() -> None:
    analysis = analyse(FakeDump([group([[1.0, 2.0]], key=str(p)) for p in range(9)], ("a", "b")))
    assert analysis.findings[0].rule == "odd_groups"
    assert analysis.findings[0].severity == "serious"
    assert [reward.verdict for reward in analysis.rewards] == ["unmeasured", "unmeasured"]


def test_a_few_groups_are_not_judged() -> None:
    dump = repeated(np.stack([UP, DOWN], axis=1), groups=5)
    assert rules(dump) == {"cancelled_signal": "info", "few_groups": "info"}
    assert "too few groups" in analyse(dump).findings[0].message


def test_every_finding_states_its_rule() -> None:
    for score, names, *_ in SICK.values():
        for finding in diagnose(score, names, 0, steps=20).findings:
            assert finding.threshold
            assert all(np.isfinite(value) for value in finding.numbers.values())
