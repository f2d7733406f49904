"""Groups from a stream: order, windows, ids that come again."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from concord.dumps import GroupRows, grouping
from concord.dumps.formats.base import Rollout
from concord.dumps.grouping import Grouper, Layout


def collect(rollouts: list[Rollout], layout: Layout, **place: Any) -> tuple[Grouper, list[GroupRows]]:
    grouper = Grouper(("r",), layout, Counter())
    found = [group for rollout in rollouts for group in grouper.add(rollout, "run", rollout.step or 0)]
    return grouper, found + list(grouper.close())


def rollout(score: float, group: Any = None, prompt: str = "p", **more: Any) -> Rollout:
    return Rollout({"r": score}, prompt, f"answer {score}", group, **more)


def scores(groups: list[GroupRows]) -> list[list[float]]:
    return [group.scores[:, 0].tolist() for group in groups]


def test_rows_that_lie_together_need_one_group_of_memory() -> None:
    grouper = Grouper(("r",), Layout(False), Counter())
    closed = []
    for n in range(9):
        closed.append(len(list(grouper.add(rollout(n, n // 3), "run", 0))))
    assert closed == [0, 0, 0, 1, 0, 0, 1, 0, 0]
    assert scores(list(grouper.close())) == [[6, 7, 8]]
    assert grouper.sizes == {3: 3}


def test_rows_that_lie_apart_wait() -> None:
    _, groups = collect([rollout(n, n % 3) for n in range(9)], Layout(True))
    assert scores(groups) == [[0, 3, 6], [1, 4, 7], [2, 5, 8]]


def test_an_id_that_comes_again_is_told_and_kept_apart() -> None:
    grouper, groups = collect([rollout(n, g) for n, g in enumerate("aabbaa")], Layout(False))
    assert [(group.key, len(group.completions)) for group in groups] == [("a", 2), ("b", 2), ("a~2", 2)]
    assert grouper.reappeared == 1


def test_the_window_bounds_what_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grouping, "WINDOW_ROWS", 10)
    grouper = Grouper(("r",), Layout(True), Counter())
    rows = 0
    for n in range(1000):
        rows += 1
        for group in grouper.add(rollout(n, n % 100), "run", 0):
            rows -= len(group.completions)
        assert rows <= 10
    groups = list(grouper.close())
    assert grouper.reappeared == 900
    assert len(groups) == 10


def test_the_window_counts_characters_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grouping, "WINDOW_CHARACTERS", 100)
    grouper, groups = collect([rollout(n, n % 7, prompt="x" * 30) for n in range(70)], Layout(True))
    assert grouper.reappeared > 0
    assert sum(len(group.completions) for group in groups) == 70


def test_equal_prompts_at_another_step_or_of_another_run_are_other_groups() -> None:
    _, groups = collect([rollout(n, step=n // 2) for n in range(4)], Layout(False))
    assert [(group.step, group.key) for group in groups] == [(0, "0"), (1, "0")]


def test_runs_of_equal_prompts_are_cut_at_the_size() -> None:
    grouper, groups = collect([rollout(n) for n in range(10)], Layout(False, size=4))
    assert scores(groups) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert [group.key for group in groups] == ["0", "1", "2"]
    assert grouper.cut == 2


def test_the_last_output_of_a_session_counts_and_the_first_prompt_stands() -> None:
    rollouts = [rollout(n, "a", prompt=f"turn {n % 2}", session=n // 2) for n in range(4)]
    _, [group] = collect(rollouts, Layout(False))
    assert scores([group]) == [[1, 3]]
    assert group.prompt == "turn 0"


def test_long_ids_are_hashed() -> None:
    _, groups = collect([rollout(0, "x" * 1000), rollout(1, "x" * 999)], Layout(False))
    assert [len(group.key) for group in groups] == [16, 16]
    assert groups[0].key != groups[1].key


def test_one_status_word_for_each_score() -> None:
    rollouts = [
        rollout(1.0, statuses={"r": "scored"}), rollout(float("inf")), rollout(float("nan")),
        rollout(float("nan"), statuses={"r": "timed out"}), rollout(float("nan"), statuses={"r": "scored"}),
    ]  # fmt: skip
    _, [group] = collect(rollouts, Layout(False))
    assert group.statuses == [["scored", "invalid", "not scored", "timed out", "not scored"]]
    assert np.isnan(group.scores[1:]).all()


@given(
    st.lists(st.tuples(st.integers(0, 2), st.sampled_from(["a", "b", "a~2", "a~2~", "0", None])), max_size=60),
    st.booleans(),
    st.integers(1, 20),
)
def test_no_rollout_is_lost_and_every_key_is_its_own(rows: list[Any], scattered: bool, window: int) -> None:
    rollouts = [rollout(float(n), group, prompt=f"p{group}", step=step) for n, (step, group) in enumerate(rows)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(grouping, "WINDOW_ROWS", window)
        grouper, groups = collect(rollouts, Layout(scattered))
    found = [score for group in groups for score in group.scores[:, 0].tolist()]
    assert sorted(found) == [float(n) for n in range(len(rows))]
    assert len({(group.step, group.key) for group in groups}) == len(groups)
    for group in groups:
        assert len({rows[int(score)] for score in group.scores[:, 0].tolist()}) == 1
    assert grouper.sizes == Counter(len(group.completions) for group in groups)
