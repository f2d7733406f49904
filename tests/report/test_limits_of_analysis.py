"""What an analysis does not take on, and how it stays in bounded memory."""

from __future__ import annotations

import numpy as np
import pytest

from concord.core.errors import DumpError
from concord.report import analyse
from concord.report.batches import CELLS, Batcher
from concord.report.page.axis import fitted
from concord.report.stream import MOST_REWARDS
from tests.report.fake import FakeDump, group


def names(count: int) -> tuple[str, ...]:
    return tuple(f"r{number}" for number in range(count))


def test_as_many_rewards_as_are_compared_and_one_more() -> None:
    rng = np.random.default_rng(0)
    most = analyse(FakeDump([group(rng.random((4, MOST_REWARDS)))], names(MOST_REWARDS)))
    assert len(most.conflict.pairs) == MOST_REWARDS * (MOST_REWARDS - 1) // 2
    with pytest.raises(DumpError, match=r"65 columns of numbers look like rewards \(r0, .*--rewards"):
        analyse(FakeDump([group(rng.random((4, MOST_REWARDS + 1)))], names(MOST_REWARDS + 1)))


def test_one_large_group_among_small_ones_does_not_make_a_large_table() -> None:
    batcher = Batcher(names(2), None)
    rows = [group(np.zeros((8_000, 2)), key="large"), *(group(np.zeros((1, 2)), key=str(n)) for n in range(2_000))]
    batches = [batch for one in rows for batch in batcher.add(one)] + list(batcher.rest())
    assert sum(len(batch.rollouts.rewards) for batch in batches) == 10_000
    assert len(batches) > 1
    for batch in batches:
        members, groups = batch.rollouts.groups.table.shape
        assert groups * (members + 2) * 2 <= CELLS
    assert batcher.parts == {(rows[0].run, rows[0].step)}


@pytest.mark.parametrize("values", [[0.0, 5e-324], [5e-324], [-5e-324, 1e-310], [0.0, 2e-290], [0.0, 1e-280]])
def test_the_smallest_numbers_have_an_axis(values: list[float]) -> None:
    axis = fitted(values)
    assert axis.low < axis.high
    assert all(0 <= axis.place(value) <= 100 for value in values)
