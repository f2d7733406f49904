"""Every number of the analysis against the slow script."""

from __future__ import annotations

import math

import numpy as np
import pytest

from concord.report import analyse
from concord.report.analysis import Analysis
from tests.report.fake import FakeDump, group
from tests.report.slow import Slow, mean, pearson

NAMES = ("correct", "length", "style")
WEIGHTS = {"correct": 1.0, "length": -0.5, "style": 2.0}
CLOSE = {"rel": 1e-9, "abs": 1e-9, "nan_ok": True}


def messy_dump(seed: int) -> FakeDump:
    """Ragged groups, missing scores, flat groups, a rollout without any score, steps out of order."""
    generator = np.random.default_rng(seed)
    rows = []
    for number in range(60):
        size = int(generator.choice([1, 2, 4, 5, 8], p=[0.05, 0.15, 0.4, 0.1, 0.3]))
        right = (generator.random(size) < 0.5).astype(float)
        scores = np.stack([right, 40 - 10 * right + generator.normal(0, 9, size), generator.random(size)], axis=1)
        scores[generator.random(scores.shape) < 0.08] = np.nan
        if number % 9 == 0:
            scores[:, 2] = 0.7
        if number % 14 == 0:
            scores[0] = np.nan
        lengths = generator.integers(5, 90, size).astype(float)
        advantages = generator.normal(size=size)
        rows.append(
            group(scores, step=int(generator.integers(6)), key=str(number), lengths=lengths, advantages=advantages)
        )
    return FakeDump(rows, NAMES)


@pytest.fixture(params=[0, 1, 2], scope="module")
def both(request: pytest.FixtureRequest) -> tuple[Analysis, Slow]:
    dump = messy_dump(request.param)
    # The batch holds steps in the order in which they begin; so must the slow script.
    first = {step: place for place, step in reversed(list(enumerate(row.step for row in dump.rows)))}
    ordered = sorted(dump.rows, key=lambda row: first[row.step])
    return analyse(dump, weights=WEIGHTS), Slow(ordered, NAMES, WEIGHTS)


def test_headline(both: tuple[Analysis, Slow]) -> None:
    analysis, slow = both
    plain = analysis.to_dict()
    assert plain["cancelled_share"] == pytest.approx(slow.cancelled_share(), **CLOSE)
    assert plain["mixed_sign_share"] == pytest.approx(slow.mixed_sign_share(), **CLOSE)
    assert plain["whitening_gain"] == pytest.approx(slow.whitening_gain(), **CLOSE)
    assert plain["rollouts"] == len(slow.rollouts())
    assert (plain["groups"], plain["steps"], plain["runs"]) == (60, 6, 1)
    assert plain["silent_groups"] == pytest.approx(mean([float(not np.any(g["x"])) for g in slow.groups]), **CLOSE)


@pytest.mark.parametrize("k", range(3), ids=NAMES)
def test_rewards(both: tuple[Analysis, Slow], k: int) -> None:
    analysis, slow = both
    found, column = analysis.to_dict()["rewards"][NAMES[k]], slow.column(k)
    assert found["mean"] == pytest.approx(mean(column), **CLOSE)
    assert found["std"] == pytest.approx(np.std(column, ddof=1), **CLOSE)
    assert found["weight"] == pytest.approx(WEIGHTS[NAMES[k]])
    assert (found["low"], found["high"]) == (min(column), max(column))
    assert found["at_high"] == pytest.approx(column.count(max(column)) / len(column), **CLOSE)
    assert found["saturation"] == max(found["at_low"], found["at_high"])
    assert found["statuses"]["scored"] == pytest.approx(len(column) / len(slow.rollouts()), **CLOSE)
    for name in (
        "within_group_std",
        "dead_group_share",
        "share_of_advantage",
        "share_of_raw_sum",
        "effective_weight",
    ):
        assert found[name] == pytest.approx(getattr(slow, name)(k), **CLOSE), name
    assert found["length_correlation"]["value"] == pytest.approx(slow.length_correlation(k), **CLOSE)
    assert sum(found["histogram"]["counts"]) == len(column)


def test_pairs(both: tuple[Analysis, Slow]) -> None:
    analysis, slow = both
    assert len(analysis.conflict.pairs) == 3
    for pair in analysis.conflict.pairs:
        j, k = NAMES.index(pair.first), NAMES.index(pair.second)
        inside = slow.group_correlations(j, k)
        assert pair.raw == pytest.approx(slow.raw_correlation(j, k), **CLOSE)
        assert pair.within == pytest.approx(slow.within_correlation(j, k), **CLOSE)
        assert pair.signs == pytest.approx(slow.sign_correlation(j, k), **CLOSE)
        assert pair.groups == pair.correlation.groups == len(inside)
        assert pair.correlation.value == pytest.approx(mean(inside), **CLOSE)
        assert pair.correlation.error == pytest.approx(np.std(inside, ddof=1) / math.sqrt(len(inside)), **CLOSE)
        assert pair.opposed_groups == pytest.approx(mean([float(r < -1e-6) for r in inside]), **CLOSE)
        assert analysis.conflict.raw[j][k] == pytest.approx(analysis.conflict.raw[k][j], **CLOSE)
        assert analysis.conflict.raw[j][k] == pytest.approx(pair.raw, **CLOSE)
        assert analysis.conflict.within[j][k] == pytest.approx(pair.within, **CLOSE)


def test_sweep(both: tuple[Analysis, Slow]) -> None:
    analysis, slow = both
    gdpo, dumped = slow.advantages(None), [a for g, n in slow.rollouts() if slow.scored(g, n) for a in [g["a"][n]]]
    assert [row.tau for row in analysis.sweep] == [round(0.05 * i, 2) for i in range(21)]
    for row in analysis.sweep:
        for name, value in slow.selection(row.tau).items():
            assert getattr(row, name) == pytest.approx(value, **CLOSE), (row.tau, name)
        advantages = slow.advantages(row.tau)
        assert row.correlation_with_gdpo == pytest.approx(pearson(advantages, gdpo), **CLOSE), row.tau
        assert row.correlation_with_dump == pytest.approx(pearson(advantages, dumped), **CLOSE), row.tau


def test_methods(both: tuple[Analysis, Slow]) -> None:
    analysis, slow = both
    grpo, gdpo, snr, hard = analysis.methods
    assert [row.method for row in analysis.methods] == ["grpo", "gdpo", "gd2po", "gd2po_hard"]
    assert grpo.kept == gdpo.kept == 1.0
    assert grpo.correlation_with_gdpo == pytest.approx(pearson(slow.grpo(), slow.advantages(None)), **CLOSE)
    assert gdpo.correlation_with_gdpo == pytest.approx(1.0)
    for row, tau in ((snr, 0.8), (hard, 1.0)):
        same = next(other for other in analysis.sweep if other.tau == tau)
        assert row.kept == same.kept
        assert row.correlation_with_gdpo == pytest.approx(same.correlation_with_gdpo, **CLOSE)
    assert hard.cancelled_share == pytest.approx(0.0, abs=1e-9)  # what is kept has one sign


def test_queries(both: tuple[Analysis, Slow]) -> None:
    analysis, slow = both
    want: dict[str, tuple[float, float]] = {}
    for g, keep in zip(slow.groups, slow.kept(0.8), strict=True):
        gross = math.fsum(abs(v) for x in g["x"] for v in x)
        if gross:
            consensus = math.fsum(abs(math.fsum(x)) for x in g["x"]) / gross
            want[g["key"]] = consensus, sum(keep) / sum(slow.scored(g, n) for n in range(len(keep)))
    values = sorted(consensus for consensus, _ in want.values())
    assert [q.consensus for q in analysis.queries.worst] == pytest.approx(values[:20], **CLOSE)
    assert [q.consensus for q in analysis.queries.best] == pytest.approx(values[::-1][:20], **CLOSE)
    for query in (*analysis.queries.worst, *analysis.queries.best):
        assert (query.consensus, query.kept) == pytest.approx(want[query.key], **CLOSE)
    assert sum(analysis.queries.consensus.counts) == len(want)


def test_series(both: tuple[Analysis, Slow]) -> None:
    analysis, slow = both
    assert [point.step for point in analysis.series] == sorted(slow.by_step())
    for point in analysis.series:
        part = Slow([], NAMES, WEIGHTS)
        part.groups = [g for g in slow.groups if g["step"] == point.step]
        assert point.rollouts == len(part.rollouts())
        assert point.cancelled_share == pytest.approx(part.cancelled_share(), **CLOSE)
        assert point.mixed_sign_share == pytest.approx(part.mixed_sign_share(), **CLOSE)
        assert point.whitening_gain == pytest.approx(part.whitening_gain(), **CLOSE)
        assert point.kept == pytest.approx(part.selection(0.8)["kept"], **CLOSE)
        assert point.length == pytest.approx(mean([v for g in part.groups for v in g["len"]]), **CLOSE)
        for k, name in enumerate(NAMES):
            assert point.mean[name] == pytest.approx(mean(part.column(k)), **CLOSE)
            assert point.dead_group_share[name] == pytest.approx(part.dead_group_share(k), **CLOSE)
            assert point.within_group_std[name] == pytest.approx(part.within_group_std(k), **CLOSE)
            assert point.share_of_advantage[name] == pytest.approx(part.share_of_advantage(k), **CLOSE)


def test_what_cancels_beyond_chance_and_how_sure_that_is(both: tuple[Analysis, Slow]) -> None:
    c = both[0].conflict
    assert c.cancelled_excess.value == pytest.approx(c.cancelled_share - c.cancelled_by_chance, **CLOSE)


def test_the_error_of_the_excess_is_that_of_a_ratio_of_sums() -> None:
    """One group of gross signal t that cannot cancel, and one of 2 t that cancels whole.

    With e the second one's excess, the ratio is q = e / 3 t. The residuals are -q t and e - 2 q t = q t; their squares,
    times 2 / (2 - 1), have the root 2 q t; over 3 t that is 2 q / 3.
    """
    groups = [group([[0.0, 1.0], [1.0, 1.0]], key="quiet"), group([[0.0, 1.0], [1.0, 0.0]], key="opposed")]
    c = analyse(FakeDump(groups, ("a", "b")), taus=()).conflict
    excess = c.cancelled_excess
    assert c.cancelled_share == pytest.approx(2 / 3)
    assert excess.value == pytest.approx(2 / 3 - c.cancelled_by_chance)
    assert excess.value > 0.1
    assert excess.error == pytest.approx(2 / 3 * excess.value)
    assert excess.groups == 2


@pytest.mark.parametrize(("groups", "value"), [(1, True), (0, False)])
def test_one_group_has_an_excess_without_an_error_and_none_has_neither(groups: int, value: bool) -> None:
    rows = [group([[0.0, 1.0], [1.0, 0.0]])] * groups + [group(np.ones((2, 2)), key="silent")]
    found = analyse(FakeDump(rows, ("a", "b")), taus=()).conflict.cancelled_excess
    assert (math.isfinite(found.value), math.isnan(found.error), found.groups) == (value, True, groups)


@pytest.mark.parametrize(
    ("weight", "cancelled", "mixed"),
    [
        (0.0, 0.0, 0.0),  # what has no weight pushes nobody
        (1.0, 1 - math.sqrt(2) / 2, 0.5),
        (3.0, 1 - math.sqrt(10) / 4, 0.5),  # E|x + 3 y| / (E|x| + 3 E|y|)
        (-3.0, 1 - math.sqrt(10) / 4, 0.5),
    ],
)
def test_chance_weighs_the_rewards(weight: float, cancelled: float, mixed: float) -> None:
    generator = np.random.default_rng(0)
    rows = [group(generator.normal(size=(16, 2)), step=p // 16, key=str(p)) for p in range(320)]
    c = analyse(FakeDump(rows, ("a", "b")), weights={"b": weight}, taus=()).conflict
    assert c.cancelled_by_chance == pytest.approx(cancelled, abs=0.01 * bool(weight))
    assert c.mixed_sign_by_chance == pytest.approx(mixed, abs=0.01 * bool(weight))


def test_the_trend_is_in_the_rewards_own_units() -> None:
    """Fifteen steps from 100 on, each a point above the one before."""
    rows = [group([[100.0 + step], [102.0 + step]], step=step) for step in range(15)]
    (reward,) = analyse(FakeDump(rows, ("a",)), taus=()).rewards
    assert reward.trend is not None
    assert (reward.trend.first, reward.trend.last, reward.trend.steps) == (pytest.approx(103), pytest.approx(113), 5)
    assert (reward.mean, reward.low, reward.high) == (pytest.approx(108), 100, 116)
