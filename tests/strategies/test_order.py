"""A curriculum's order and a replay buffer's draws."""

from __future__ import annotations

import math
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concord.core.errors import ConfigError
from concord.strategies import curriculum, measured, replay


@given(st.lists(st.floats(), max_size=30), st.integers(1, 7))
def test_each_row_comes_once_and_no_row_before_an_easier_stage(difficulty: list[float], stages: int) -> None:
    order = curriculum(stages=stages).order(difficulty)
    assert sorted(order) == list(range(len(difficulty)))
    hardness = [math.inf if math.isnan(difficulty[i]) else difficulty[i] for i in order]
    cuts = [len(order) * s // stages for s in range(stages + 1)]
    parts = [hardness[a:b] for a, b in pairwise(cuts) if a < b]
    assert all(max(easy) <= min(hard) for easy, hard in pairwise(parts))
    assert max(map(len, parts), default=0) - min(map(len, parts), default=0) <= 1 or len(order) < stages


def test_a_stage_is_shuffled_by_the_seed() -> None:
    order = curriculum(stages=2, seed=3).order(list(range(40)))
    assert order == curriculum(stages=2, seed=3).order(list(range(40)))
    assert order[:20] != sorted(order[:20])
    assert order != curriculum(stages=2, seed=4).order(list(range(40)))


def test_difficulty_is_what_the_rollouts_missed_of_the_best() -> None:
    found = measured(["a", "b", "a", "c", "a"], [1.0, math.nan, 0.0, 2.0, math.nan], best=2.0)
    assert found["a"] == 1.5
    assert math.isnan(found["b"])
    assert found["c"] == 0


def test_the_buffer_keeps_the_newest_and_draws_each_as_often() -> None:
    buffer = replay(size=5)
    buffer.add(range(4))
    buffer.add(range(4, 9))
    assert list(buffer.items) == [4, 5, 6, 7, 8]
    drawn = Counter(item for _ in range(2000) for item in buffer.sample(2))
    assert all(count == pytest.approx(800, abs=100) for count in drawn.values())
    assert len(set(buffer.sample(5))) == len(buffer.sample(99)) == len(buffer) == 5
    assert replay(size=1).sample(3) == []


def test_nothing_smaller_than_one() -> None:
    for wrong in (lambda: curriculum(stages=0), lambda: replay(size=0)):
        with pytest.raises(ConfigError, match="at least one"):
            wrong()
