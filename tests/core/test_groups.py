"""Groups, and statistics within them."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from concord import Groups
from concord.core.errors import BatchError
from concord.core.moments import group_mean, group_moments, group_sum

ids = st.lists(st.one_of(st.integers(0, 5), st.sampled_from(["a", "b"]), st.tuples(st.integers(0, 2))), max_size=30)


@given(ids)
def test_a_partition(keys: list[object]) -> None:
    groups = Groups.of(keys)
    order = list(dict.fromkeys(keys))
    assert groups.count == len(order)
    assert len(groups) == len(keys)
    assert groups.index.tolist() == [order.index(key) for key in keys]
    assert groups.sizes.tolist() == [keys.count(key) for key in order]
    members = groups.table[groups.there].tolist()
    assert sorted(members) == list(range(len(keys)))


@given(ids)
def test_laying_out_and_back(keys: list[object]) -> None:
    groups = Groups.of(keys)
    x = torch.arange(2 * len(keys)).view(-1, 2)
    block = groups.lay(x)
    assert block.shape == (*groups.table.shape, 2)
    assert torch.equal(groups.unlay(block), x)
    for n, p in enumerate(groups.index.tolist()):
        assert any(torch.equal(block[g, p], x[n]) for g in range(block.shape[0]) if groups.there[g, p])


def test_uniform_is_what_of_finds() -> None:
    found, made = Groups.of(["x", "x", "x", "y", "y", "y"]), Groups.uniform(2, 3)
    assert found.dense
    assert made.dense
    for part in ("index", "table", "there", "slot"):
        assert torch.equal(getattr(found, part), getattr(made, part))


def test_interleaved_groups_of_one_size() -> None:
    groups = Groups.of([0, 1, 0, 1])
    assert not groups.dense
    assert group_sum(torch.tensor([[1.0], [2.0], [3.0], [4.0]]), groups).tolist() == [[4.0], [6.0]]


def test_verls_uid_strings() -> None:
    assert Groups.of(["5f1_0", "5f1_1", "a_0"]).count == 3


@pytest.mark.parametrize("bad", [[[1], [2]], [{}, {}]])
def test_unhashable_ids(bad: list[object]) -> None:
    with pytest.raises(BatchError, match="hashable"):
        Groups.of(bad)  # type: ignore[arg-type]


def test_a_tensor_of_ids_is_refused_with_the_way_out() -> None:
    with pytest.raises(BatchError, match="tolist"):
        Groups.of(torch.tensor([0, 0, 1]))  # type: ignore[arg-type]


@pytest.mark.parametrize(("count", "size"), [(-1, 4), (2, 0)])
def test_impossible_sizes(count: int, size: int) -> None:
    with pytest.raises(BatchError, match=f"got count {count} and size {size}"):
        Groups.uniform(count, size)


@pytest.mark.parametrize("keys", [[0] * 4 + [1] * 4, [0, 1] * 4, [0, 0, 0, 1, 0, 1, 2, 2]])
def test_moments_against_torch(keys: list[int]) -> None:
    x = torch.randn(8, 2, dtype=torch.float64)
    groups, where = Groups.of(keys), torch.ones(8, 2, dtype=torch.bool)
    moments = group_moments(x, groups, where)
    for p in range(groups.count):
        rows = x[groups.index == p]
        torch.testing.assert_close(moments.std[p], rows.std(0))
        torch.testing.assert_close(moments.centred[groups.index == p], rows - rows.mean(0))
        torch.testing.assert_close(group_mean(x, groups, where)[p], rows.mean(0))


def test_moments_skip_what_does_not_count() -> None:
    x = torch.tensor([[1.0], [torch.nan], [3.0], [100.0]])
    where = torch.tensor([[True], [False], [True], [False]])
    moments = group_moments(x, Groups.uniform(1, 4), where)
    assert moments.centred[:3, 0].tolist()[::2] == [-1.0, 1.0]
    assert moments.centred[1].isnan()
    assert moments.counted.tolist() == [[2.0]]
    torch.testing.assert_close(moments.std, torch.tensor([[2.0**0.5]]))


@pytest.mark.parametrize("value", [0.1, 0.7, 2.4, 1 / 3, 1e30, 1e-30, -5.3])
@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 16])
def test_a_unanimous_group_is_exactly_centred(value: float, size: int) -> None:
    x = torch.full((size, 1), value)
    groups, where = Groups.uniform(1, size), torch.ones(size, 1, dtype=torch.bool)
    moments = group_moments(x, groups, where)
    assert (moments.centred == 0).all()
    assert (moments.std == 0).all()
    assert moments.flat.all()
    assert group_mean(x, groups, where).item() == pytest.approx(x[0].item(), rel=1e-6)


@pytest.mark.parametrize("scale", [1e30, 1e-30])
def test_very_large_and_very_small_rewards_keep_their_deviation(scale: float) -> None:
    x = torch.tensor([[0.0], [1.0], [2.0], [3.0]], dtype=torch.float64) * scale  # the type that statistics are taken in
    std = group_moments(x, Groups.uniform(1, 4), torch.ones(4, 1, dtype=torch.bool)).std
    assert std.item() == pytest.approx(1.29099 * scale, rel=1e-4)


def test_a_group_where_nothing_counts() -> None:
    x = torch.full((3, 1), torch.nan)
    where = torch.zeros(3, 1, dtype=torch.bool)
    moments = group_moments(x, Groups.uniform(1, 3), where)
    assert moments.std.item() == 0
    assert moments.flat.item()
    assert group_mean(x, Groups.uniform(1, 3), where).item() == 0
