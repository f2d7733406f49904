"""Functions of sets and their marginal gains."""

from __future__ import annotations

from itertools import permutations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from concord.functional.submodular import coverage, log_volume, marginal_gains

SETS = st.lists(st.frozensets(st.integers(0, 6), max_size=4), max_size=6)


@given(SETS)
def test_gains_add_up_to_the_whole(sets: list[frozenset[int]]) -> None:
    assert sum(marginal_gains(coverage, sets)) == len(frozenset().union(*sets))


@given(SETS, SETS, st.frozensets(st.integers(0, 6)))
def test_what_comes_later_gains_no_more(
    before: list[frozenset[int]], more: list[frozenset[int]], item: frozenset[int]
) -> None:
    early = marginal_gains(coverage, [*before, item])[-1]
    assert marginal_gains(coverage, [*before, *more, item])[-1] <= early


def test_an_additive_function_gives_ordinary_rewards() -> None:
    assert marginal_gains(sum, [3.0, -1.0, 2.5]) == [3.0, -1.0, 2.5]


def test_equal_items_share_alike_over_all_orders() -> None:
    """The mean over orders is the Shapley value: {1} and {1} halve what either covers."""
    sets = [{1}, {1}, {2, 3}]
    total = [0.0] * 3
    for order in permutations(range(3)):
        for place, gain in zip(order, marginal_gains(coverage, [sets[i] for i in order]), strict=True):
            total[place] += gain / 6
    assert total == pytest.approx([0.5, 0.5, 2.0])


def test_volume_grows_less_for_what_is_alike() -> None:
    a, b, near = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0]), torch.tensor([0.99, 0.1])
    gains = marginal_gains(log_volume, [a, near, b])
    assert gains[0] == pytest.approx(torch.tensor(2.0).log().item())
    assert 0 < gains[1] < gains[2] < gains[0]
    assert log_volume([]) == 0
