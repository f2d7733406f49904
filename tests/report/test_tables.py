"""The tables on disk, and the comparisons of ``--fail-on``."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pandas
import pytest

from concord.core.errors import ConfigError
from concord.report import analyse
from concord.report.analysis import Analysis
from concord.report.gate import Comparison, parse
from concord.report.tables import write_tables
from tests.report.fake import FakeDump, group
from tests.report.simulate import opposed, run


@pytest.fixture(scope="module")
def analysis() -> Analysis:
    return analyse(run(opposed, ("correctness", "brevity"), 0, steps=18))


def test_each_table_holds_the_analysis(analysis: Analysis, tmp_path: Path) -> None:
    paths = {path.name: path for path in write_tables(analysis, tmp_path / "new" / "tables")}
    assert json.loads(paths["analysis.json"].read_text()) == analysis.to_dict()
    rewards = pandas.read_csv(paths["rewards.csv"], index_col="reward")
    assert rewards.loc["brevity", "share_of_advantage"] == analysis.rewards[1].share_of_advantage
    assert rewards.loc["correctness", "trend.first"] == pytest.approx(analysis.rewards[0].trend.first, rel=1e-12)
    summary = pandas.read_csv(paths["summary.csv"], index_col="number")["value"]
    assert summary["cancelled_share"] == pytest.approx(analysis.conflict.cancelled_share, rel=1e-12)
    sweep = pandas.read_csv(paths["sweep.csv"])
    assert sweep["kept"].tolist() == pytest.approx([row.kept for row in analysis.sweep], rel=1e-12)
    steps = pandas.read_csv(paths["steps.csv"])
    assert steps["mean.correctness"].tolist() == pytest.approx([p.mean["correctness"] for p in analysis.series])
    queries = pandas.read_csv(paths["queries.csv"])
    assert (queries["end"] == "worst").sum() == len(analysis.queries.worst)
    histograms = pandas.read_csv(paths["histograms.csv"])
    assert histograms.groupby("of")["count"].sum().to_dict() == {"correctness": 1152, "brevity": 1152}
    assert len(pandas.read_csv(paths["findings.csv"])) == len(analysis.findings)


def test_no_cell_is_a_formula(tmp_path: Path) -> None:
    names = ("=cmd()", "@b")
    rows = [group(np.arange(8.0).reshape(4, 2), prompt="+1\ud800", key=f"-{p}") for p in range(3)]
    for path in write_tables(analyse(FakeDump(rows, names)), tmp_path):
        if path.suffix == ".csv":
            with path.open(newline="", encoding="utf-8") as file:
                for cell in (cell for row in csv.reader(file) for cell in row):
                    assert not cell.startswith(("=", "@", "+")), (path, cell)
                    assert not cell.startswith("-") or float(cell) < 0, (path, cell)


def test_comparisons_are_parsed(analysis: Analysis) -> None:
    assert parse(["cancelled>0.4, whitening_gain <= 3", "rollouts<1e3"]) == [
        Comparison("cancelled_share", ">", 0.4),
        Comparison("whitening_gain", "<=", 3.0),
        Comparison("rollouts", "<", 1000.0),
    ]
    assert Comparison.parse("cancelled_share>0.4") == Comparison.parse("cancelled>0.4")
    share = analysis.conflict.cancelled_share
    for text, met in {
        "cancelled>0": True,
        "cancelled<0": False,
        f"cancelled>={share!r}": True,
        f"cancelled>{share!r}": False,
        "rollouts<=1152": True,
        "rollouts<=1151": False,
        "rollouts<1152": False,
        "rollouts<1153": True,
        "rollouts>1151": True,
        "rollouts>1152": False,
        "rollouts>=1153": False,
        "serious>=1": True,
    }.items():
        assert (Comparison.parse(text).met(analysis) is not None) == met, text


@pytest.mark.parametrize(
    "text",
    [
        *("", "cancelled", "cancelled>", ">0.4", "cancelled>x", "cancelled>nan", "cancelled>inf", "cancelled==1"),
        *("canceled>1", "__import__('os')>1", "cancelled>0.4 or 1", "rewards>1", "cancelled>0.4,,"),
    ],
)
def test_what_is_no_comparison_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="--fail-on"):
        parse([text])


def test_a_number_that_could_not_be_measured_fails() -> None:
    silent = analyse(FakeDump([group([[1.0], [1.0]])], ("a",)))
    said = Comparison.parse("whitening_gain>3").met(silent)
    assert said is not None
    assert "could not be measured" in said
