"""What a learner beside the policy measured: its means, its course, and its place in what is shown."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from rich.console import Console

from concord.report import Analysis, analyse, terminal
from concord.report.page import write_page
from concord.report.tables import write_tables
from concord.report.tally import Named
from tests.report.fake import FakeDump, group
from tests.report.page.reading import read

STEPS = 18


def measured(step: int) -> dict[str, float]:
    """The loss falls from 18 to 1; the bonus could be measured at every other step."""
    return {"loss": float(STEPS - step), "bonus": -1.0 if step % 2 else math.nan}


def dump(learner: Sequence[Mapping[str, float]], runs: Sequence[str] = ("run",)) -> FakeDump:
    """Two groups a step."""
    scores = [[1.0], [0.0], [1.0], [0.0]]
    return FakeDump(
        [
            group(scores, step=step, key=str(p), run=run, learner=found)
            for run in runs
            for step, found in enumerate(learner)
            for p in range(2)
        ],
        ("right",),
    )


@pytest.fixture(scope="module")
def analysis() -> Analysis:
    return analyse(dump([measured(step) for step in range(STEPS)]))


def shown(analysis: Analysis) -> str:
    console = Console(width=120)
    with console.capture() as captured:
        terminal.show(analysis, console)
    return captured.get()


def test_the_means_and_the_course(analysis: Analysis) -> None:
    loss, bonus = analysis.learner
    assert (loss.name, loss.mean) == ("loss", pytest.approx(9.5))
    assert loss.trend is not None
    assert (loss.trend.first, loss.trend.last) == (pytest.approx(15.5), pytest.approx(3.5))
    assert (bonus.name, bonus.mean) == ("bonus", -1.0)
    assert bonus.trend is None  # known at nine steps
    assert [point.learner["loss"] for point in analysis.series] == [float(STEPS - step) for step in range(STEPS)]
    assert math.isnan(analysis.series[0].learner["bonus"])


def test_a_metric_that_begins_late_or_stands_in_one_run_only() -> None:
    late = analyse(dump([{}] * 3 + [{"loss": 4.0}] * 2))
    assert [(metric.name, metric.mean) for metric in late.learner] == [("loss", 4.0)]
    assert [point.learner for point in late.series] == [{}] * 3 + [{"loss": 4.0}] * 2
    both = dump([{"loss": 1.0}], ["a"])
    both.rows = [*both.rows, *dump([{}], ["b"]).rows]
    assert [metric.mean for metric in analyse(both).learner] == [1.0]


def test_steps_that_share_a_point_share_their_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("concord.report.series.LIMIT", 8)
    found = analyse(dump([measured(step) for step in range(16)]))
    assert [point.learner["loss"] for point in found.series] == [17.5 - 2 * pair for pair in range(8)]
    assert [point.learner["bonus"] for point in found.series] == [-1.0] * 8


def test_sums_add_up_in_any_order() -> None:
    a, b = Named.of([{"x": 1.0, "y": math.nan}]), Named.of([{"x": 3.0}, {"z": 5.0}])
    for total in (a + b, b + a):
        assert total.means["x"] == 2.0
        assert math.isnan(total.means["y"])
        assert total.means["z"] == 5.0


def test_terminal_page_and_tables_show_it(analysis: Analysis, tmp_path: Path) -> None:
    line = next(line for line in shown(analysis).splitlines() if line.startswith("loss "))
    assert line.split() == ["loss", "9.5", "15.5", "3.5"]
    write_page({"run": analysis}, tmp_path / "page.html")
    page = read(tmp_path / "page.html")
    assert [(row["metric"], row["mean"]) for row in page.tables["a0-learner"]] == [("loss", 9.5), ("bonus", -1.0)]
    assert [row["learner: loss"] for row in page.tables["a0-steps"]] == [float(STEPS - step) for step in range(STEPS)]
    charts = [attributes.get("aria-label") for tag, attributes in page.tags if tag == "svg"]
    assert {"loss by step", "bonus by step"} <= set(charts)
    write_tables(analysis, tmp_path)
    with (tmp_path / "learner.csv").open() as file:
        assert [row["trend.last"] for row in csv.DictReader(file)] == ["3.5", ""]
    plain = json.loads((tmp_path / "analysis.json").read_text())
    assert plain["learner"][0]["trend"]["first"] == 15.5
    assert plain["series"][0]["learner"] == {"loss": 18.0, "bonus": None}


def test_without_a_learner_nothing_is_said_of_it(tmp_path: Path) -> None:
    analysis = analyse(dump([{}] * 3))
    assert analysis.learner == ()
    assert "learner" not in shown(analysis)
    write_page({"run": analysis}, tmp_path / "page.html")
    assert "Learner" not in read(tmp_path / "page.html").texts["h3"]
    names = {path.name for path in write_tables(analysis, tmp_path)}
    assert "learner.csv" not in names
