"""Turns as rows: statistics within any key, sums along a trajectory."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from concord import Groups
from concord.functional.filtration import filter_weights
from concord.functional.progress import progress, shares
from concord.functional.turns import later_turns, normalize_within, turns_left


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 10**6), ids=st.lists(st.integers(0, 3), min_size=1, max_size=20), ddof=st.sampled_from([0, 1])
)
def test_normalising_within_a_key_is_normalising_each_group_of_group_and_key(
    seed: int, ids: list[int], ddof: int
) -> None:
    rng = torch.Generator().manual_seed(seed)
    n = len(ids)
    x, key = torch.randn(n, generator=rng, dtype=torch.float64), torch.randint(0, 3, (n,), generator=rng)
    where = torch.rand(n, generator=rng) < 0.8
    got = normalize_within(x, key, Groups.of(ids), where, ddof=ddof)
    for i in range(n):
        mates = [j for j in range(n) if ids[j] == ids[i] and key[j] == key[i] and where[j]]
        if where[i]:
            want = 0.0 if len(mates) < 2 else (x[i] - x[mates].mean()) / (x[mates].std(correction=ddof) + 1e-6)
            assert float(got[i]) == pytest.approx(float(want), abs=1e-9)


@pytest.mark.parametrize("value", [0.1, 0.7, 1 / 3])
def test_steps_of_a_kind_that_scored_alike_are_exactly_silent(value: float) -> None:
    key = torch.tensor([0, 1] * 8)
    x = torch.where(key == 0, value, torch.arange(16.0))
    got = normalize_within(x, key, Groups.uniform(1, 16), torch.ones(16, dtype=torch.bool))
    assert (got[key == 0] == 0).all()
    assert (got[key == 1] != 0).any()


def test_a_turn_is_credited_with_what_comes_after_it_in_its_own_trajectory() -> None:
    trajectory, turn = torch.tensor([4, 9, 4, 9, 4]), torch.tensor([2, 0, 0, 1, 1])
    x, groups = torch.tensor([1.0, 10, 100, 1000, 10000]), Groups.uniform(1, 5)
    assert later_turns(x, trajectory, turn, groups).tolist() == [1, 1010, 10101, 1000, 10001]
    assert later_turns(x, trajectory, turn, groups, gamma=0.0).tolist() == x.tolist()
    assert later_turns(x, trajectory, turn, groups, gamma=0.5).tolist() == [1, 510, 5100.25, 1000, 10000.5]
    assert turns_left(trajectory, turn, groups).tolist() == [0, 1, 2, 0, 1]


def test_one_number_for_two_trajectories_of_two_prompts_is_two_trajectories() -> None:
    one = torch.zeros(4, dtype=torch.int64)
    groups = Groups.of([0, 1, 0, 1])
    assert later_turns(torch.ones(4), one, torch.tensor([0, 0, 1, 2]), groups).tolist() == [2, 2, 1, 1]
    assert turns_left(one, torch.tensor([0, 0, 1, 2]), groups).tolist() == [1, 2, 0, 0]


def weights(score: list[float], rule: str, keep: list[bool] | None = None) -> list[float]:
    where = torch.tensor(keep or [True] * len(score))
    return filter_weights(torch.tensor(score), Groups.uniform(1, len(score)), where, rule).tolist()  # type: ignore[arg-type]


def test_a_rollout_that_is_not_kept_has_no_weight_and_no_rank() -> None:
    assert weights([5.0, 1, 2, 3], "best", [False, True, True, True]) == [0, 0, 0, 1]
    assert weights([5.0, 1, 2, 3], "best_worst", [False, True, True, True]) == [0, 1, 0, 1]
    assert weights([5.0, 1, 2, 3], "best_random", [False, True, True, True]) == [0, 0.5, 0.5, 1]
    assert weights([5.0, 1, 2, 3], "power", [False, True, True, True]) == [0, 1, 4, 9]


@pytest.mark.parametrize(("rule", "draws"), [("best", 1), ("best_random", 2), ("best_worst", 2)])
def test_a_group_has_its_draws_whether_scores_tie_or_not(rule: str, draws: int) -> None:
    for score in ([1.0, 2, 3, 4], [1.0, 4, 4, 4], [2.0, 2, 2, 2], [1.0, 1, 1, 4]):
        assert sum(weights(score, rule)) == pytest.approx(draws)


def test_resampling_by_the_weights_draws_what_they_say() -> None:
    """Best and one other at random, many times over: the weights are its frequencies."""
    score, rng = torch.tensor([3.0, 1, 3, 2]), torch.Generator().manual_seed(0)
    counts = torch.zeros(4)
    for _ in range(4000):
        best = [0, 2][int(torch.randint(2, (), generator=rng))]
        other = [i for i in range(4) if i != best][int(torch.randint(3, (), generator=rng))]
        counts[[best, other]] += 1
    torch.testing.assert_close(counts / 4000, torch.tensor(weights(score.tolist(), "best_random")), rtol=0, atol=0.03)


def test_progress_is_nought_until_the_history_is_full_and_finite_where_it_is_constant() -> None:
    assert progress(torch.tensor(1.0), torch.tensor([torch.nan, 0.5])) == 0
    assert progress(torch.tensor(1.0), torch.tensor([0.25, 0.25])) == 0.75


def test_shares_add_up_to_the_groups_size_and_keep_silence() -> None:
    groups = Groups.of([0, 1, 0, 1, 0])
    got = shares(torch.tensor([1.0, 0, -3, 0, 4]), groups)
    assert got.tolist() == [0.375, 0, -1.125, 0, 1.5]
    assert got.abs()[groups.index == 0].sum() == 3
