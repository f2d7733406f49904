"""The course of a run in bounded memory: where points and runs begin to be taken together."""

from __future__ import annotations

import pytest

from concord.report.series import Series


def filled(runs: int, steps: int, first: int = 0) -> Series:
    """Numbers stand for the sums: 1 a step."""
    series = Series()
    for step in range(first, first + steps):
        for run in range(runs):
            series.add(f"run{run:02}", step, 1)  # type: ignore[arg-type]
    return series


@pytest.mark.parametrize(
    ("steps", "first", "width", "points"),
    [(256, 0, 1, 256), (257, 0, 2, 129), (512, 0, 2, 256), (513, 0, 4, 129), (257, 1, 2, 129), (256, 10**9, 1, 256)],
)
def test_points_are_taken_together_beyond_256(steps: int, first: int, width: int, points: int) -> None:
    series = filled(1, steps, first)
    entries = series.pooled()
    assert (series.width, len(entries)) == (width, points)
    assert (entries[0][0], entries[-1][1]) == (first, first + steps - 1)
    assert sum(sums for *_, sums in entries) == steps  # type: ignore[misc]


@pytest.mark.parametrize(("runs", "named"), [(16, 16), (17, 1)])
def test_runs_are_told_apart_up_to_sixteen(runs: int, named: int) -> None:
    series = filled(runs, 3)
    assert len({run for run, _ in series.entries()}) == named
    assert [sums for *_, sums in series.pooled()] == [runs] * 3
    assert len(series.runs) == runs
