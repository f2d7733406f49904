"""One pass over whatever comes: any order, any size, any nonsense."""

from __future__ import annotations

import dataclasses
import json
import math
import random
import tracemalloc
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from concord import Groups, Rollouts, create
from concord.core.errors import ConfigError, DumpError
from concord.dumps.rows import GroupRows
from concord.functional.conflict import cancelled_share
from concord.report import analyse, batches, series
from concord.report.analysis import Analysis
from tests.report.fake import FakeDump, group
from tests.report.simulate import independent, opposed, run

NAMES = ("a", "b", "c")


def plain(analysis: Analysis) -> dict[str, Any]:
    return analysis.to_dict()


def same(found: Any, want: Any, path: str = "") -> None:
    """Equal up to the order in which floats were added."""
    if isinstance(want, dict):
        assert found.keys() == want.keys(), path
        for key in want:
            same(found[key], want[key], f"{path}.{key}")
    elif isinstance(want, list):
        assert len(found) == len(want), path
        for i, (x, y) in enumerate(zip(found, want, strict=True)):
            same(x, y, f"{path}[{i}]")
    elif isinstance(want, float):
        assert found == pytest.approx(want, rel=1e-9, abs=1e-9), path
    else:
        assert found == want, path


def without_chance(record: dict[str, Any]) -> dict[str, Any]:
    """Without what depends on the shuffles, which are drawn by batch."""
    for name in ("mixed_sign_by_chance", "cancelled_by_chance", "cancelled_excess"):
        del record["conflict"][name]
    for pair in record["conflict"]["pairs"]:
        del pair["opposed_by_chance"]
    del record["findings"], record["verdict"], record["warnings"], record["serious"]
    return record


def test_the_order_of_the_groups_does_not_matter() -> None:
    dump = run(independent(3), NAMES, 0, steps=9, prompts=5)
    rows = list(dump.rows)
    random.Random(0).shuffle(rows)
    again = FakeDump(rows, NAMES)
    same(without_chance(plain(analyse(again))), without_chance(plain(analyse(dump))))


def test_small_batches_add_up_to_one(monkeypatch: pytest.MonkeyPatch) -> None:
    dump = run(independent(3), NAMES, 1, steps=12, prompts=4)
    want = without_chance(plain(analyse(dump)))
    monkeypatch.setattr(batches, "BATCH_LIMIT", 40)  # a step is 32 rollouts
    found = without_chance(plain(analyse(dump)))
    same(found, want)


def test_a_step_too_large_for_memory_comes_in_parts_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    dump = run(independent(2), NAMES[:2], 1, steps=2, prompts=12)
    monkeypatch.setattr(batches, "BATCH_LIMIT", 32)
    analysis = analyse(dump)
    assert analysis.rollouts == 192
    assert (analysis.steps, len(analysis.series)) == (2, 2)
    assert any("came in parts" in note for note in analysis.quality.inferred)


def test_steps_are_whitened_each_by_itself() -> None:
    """The advantages behind the sweep are those of the method's own chain, step by step."""
    dump = run(opposed, ("a", "b"), 2, steps=5, prompts=4)
    logged = []
    for step in range(5):
        rows = [row for row in dump.rows if row.step == step]
        scores = torch.from_numpy(np.concatenate([row.scores for row in rows]))
        batch = Rollouts(scores, Groups.uniform(4, 8), ("a", "b"))
        advantages = create("gd2po", tau=0.8, numerics="trl").signal(batch).advantages.view(4, 8)
        logged += [dataclasses.replace(row, advantages=a.numpy()) for row, a in zip(rows, advantages, strict=True)]
    analysis = analyse(FakeDump(logged, ("a", "b")))
    snr = next(row for row in analysis.methods if row.method == "gd2po")
    assert snr.correlation_with_dump == pytest.approx(1.0, abs=1e-12)


def test_the_cancelled_share_is_the_functional_one() -> None:
    dump = run(opposed, ("a", "b"), 3, steps=1, prompts=6)
    scores = torch.from_numpy(np.concatenate([row.scores for row in dump.rows]))
    outcome = create("gdpo", numerics="trl").signal(Rollouts(scores, Groups.uniform(6, 8), ("a", "b")), trace=True)
    want = cancelled_share(dict(outcome.trace)["weigh"].values)
    assert analyse(dump).conflict.cancelled_share == pytest.approx(float(want), abs=1e-12)


def test_weights_come_from_the_dump_unless_given() -> None:
    def heavy(step: int) -> tuple[float, float]:
        return 1.0, float(step)

    dump = run(independent(2), ("a", "b"), 4, steps=3)
    dump.rows = [dataclasses.replace(row, weights=heavy(row.step)) for row in dump.rows]
    assert [reward.weight for reward in analyse(dump).rewards] == [1.0, 1.0]  # the mean of 0, 1, 2
    assert [reward.weight for reward in analyse(dump, weights={"b": 3.0}).rewards] == [1.0, 3.0]
    first = analyse(dump).series[0]
    assert first.share_of_advantage["b"] == 0.0


def test_an_unknown_weight_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean 'bb'"):
        analyse(FakeDump([group([[1.0, 2.0]])], ("a", "bb")), weights={"b": 1.0})


def test_thousands_of_steps_share_points() -> None:
    rows = [group([[float(i % 2)], [1.0]], step=step, key="k") for i, step in enumerate(range(1000, 4000, 3))]
    analysis = analyse(FakeDump(rows, ("a",)))
    assert analysis.steps == 1000
    assert len(analysis.series) <= series.LIMIT
    assert analysis.settings.step_width == 16
    assert sum(point.rollouts for point in analysis.series) == 2000
    assert (analysis.series[0].step, analysis.series[-1].last_step) == (1000, 3997)


def test_many_runs_are_pooled_and_a_few_are_not() -> None:
    def dump(runs: int) -> FakeDump:
        return FakeDump(
            [group([[0.0], [1.0]], run=f"seed{i:02d}", step=s) for i in range(runs) for s in range(3)], ("a",)
        )

    few, many = analyse(dump(4)), analyse(dump(40))
    assert [point.run for point in few.series] == [f"seed{i:02d}" for i in range(4) for _ in range(3)]
    assert [point.run for point in many.series] == ["", "", ""]
    assert (many.runs, len(many.run_names)) == (40, 16)
    assert sum(point.rollouts for point in many.series) == 240


def test_lengths_are_tokens_if_the_dump_has_them() -> None:
    texts = ["x" * 10, "x" * 20, "x" * 30]
    scores = [[1.0], [2.0], [3.0]]
    by_text = analyse(FakeDump([group(scores, completions=texts)], ("a",)))
    assert (by_text.quality.length_unit, by_text.quality.mean_length) == ("characters", 20.0)
    assert by_text.rewards[0].length_correlation.value == pytest.approx(1.0)
    by_token = analyse(FakeDump([group(scores, completions=texts, lengths=np.array([9.0, np.nan, 3.0]))], ("a",)))
    assert (by_token.quality.length_unit, by_token.quality.mean_length) == ("tokens", 6.0)
    assert by_token.rewards[0].length_correlation.value < 0


def test_statuses_and_cut_off_responses_are_counted() -> None:
    statuses = [["scored", "timed out", "abstained", "scored"]]
    scores = [[1.0], [math.nan], [math.nan], [0.0]]
    truncated = np.array([1.0, 0.0, math.nan, 1.0])
    analysis = analyse(FakeDump([group(scores, statuses=statuses, truncated=truncated)], ("a",)))
    assert analysis.rewards[0].statuses == {"scored": 0.5, "timed out": 0.25, "abstained": 0.25}
    assert analysis.quality.truncated_share == pytest.approx(2 / 3)
    assert analysis.quality.unscored == 2


def test_examples_hold_what_is_needed_to_read_them() -> None:
    scores = [[1.0, 0.0], [0.0, 1.0], [math.nan, 0.5]]
    texts = ["short", "y" * (batches.TEXT_LIMIT + 7), "third"]
    agreed = group([[0.0, 0.0], [1.0, 1.0]], key="agreed")
    analysis = analyse(FakeDump([group(scores, key="fight", completions=texts), agreed], ("a", "b")))
    (example,) = analysis.examples
    assert example.query.key == "fight"
    assert example.query == analysis.queries.worst[0]
    first, second, third = example.rollouts
    assert (first.completion, first.cut, len(second.completion), second.cut) == ("short", 0, batches.TEXT_LIMIT, 7)
    assert first.scores == {"a": 1.0, "b": 0.0}
    assert first.z["a"] > 0 > first.z["b"]
    assert first.mixed
    assert not first.keep
    assert abs(first.consensus) < 0.2
    assert math.isnan(third.scores["a"])
    assert math.isnan(third.z["a"])


def test_only_so_many_examples_and_queries() -> None:
    dump = run(opposed, ("a", "b"), 0, steps=20)
    analysis = analyse(dump, examples=3)
    assert (len(analysis.examples), len(analysis.queries.worst), len(analysis.queries.best)) == (3, 20, 20)
    assert [example.query for example in analysis.examples] == list(analysis.queries.worst[:3])
    assert not analyse(dump, examples=0).examples


def test_nothing_to_read_is_an_error() -> None:
    empty = FakeDump([], ("a",))
    empty.skipped["not JSON"] = 4
    with pytest.raises(DumpError, match="no rollout could be read; skipped: 4 x not JSON"):
        analyse(empty)
    with pytest.raises(DumpError, match="--rewards"):
        analyse(FakeDump([group([[1.0]])], ()))
    with pytest.raises(DumpError, match="no rollout"):
        analyse(FakeDump([group(np.zeros((0, 1)))], ("a",)))


NONSENSE = {
    "all missing": np.full((4, 2), np.nan),
    "one reward missing": np.stack([np.arange(4.0), np.full(4, np.nan)], axis=1),
    "constant": np.full((4, 2), 0.7),
    "nearly constant": 1 + 1e-5 * np.arange(8.0).reshape(4, 2),
    "huge": np.array([[1e308, -1e308], [-1e308, 1e308], [0, 0], [1e300, 1]]),
    "tiny": 1e-300 * np.arange(8.0).reshape(4, 2),
    "far from zero": 1e9 + np.arange(8.0).reshape(4, 2),
    "one rollout": np.array([[1.0, 2.0]]),
    "exact opposites": np.stack([np.arange(4.0), 3 - np.arange(4.0)], axis=1),
}


@pytest.mark.parametrize("scores", NONSENSE.values(), ids=NONSENSE)
@pytest.mark.parametrize("groups", [1, 30])
def test_nonsense_gives_a_report_in_plain_json(scores: np.ndarray, groups: int) -> None:
    rows = [
        group(scores, step=i % 3, key=str(i), prompt="\ud800", completions=[""] * len(scores)) for i in range(groups)
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        record = plain(analyse(FakeDump(rows, ("a", "b"))))
    json.dumps(record, allow_nan=False)
    assert 0 <= record["cancelled_share"] <= 1
    assert record["rollouts"] == groups * len(scores)


def test_memory_does_not_grow_with_the_dump() -> None:
    class Endless:
        """Ten times the rollouts, never more than a group of them at once."""

        format, rewards, inferred, missing, skipped = "made", ("a", "b"), (), (), {}

        def __init__(self, groups: int) -> None:
            self.groups = groups

        def __iter__(self) -> Iterator[GroupRows]:
            generator = np.random.default_rng(0)
            for i in range(self.groups):
                yield group(generator.random((8, 2)), step=i // 64, key=str(i), completions=["z" * 5000] * 8)

    def peak(groups: int) -> int:
        tracemalloc.start()
        try:
            analyse(Endless(groups), taus=(0.5,))
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    limit = batches.BATCH_LIMIT // 4
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batches, "BATCH_LIMIT", limit)
        small, large = peak(limit // 4), peak(limit)  # 2 and 8 limits of rollouts
    assert large < 1.3 * small
