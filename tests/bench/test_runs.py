"""Runs are paired, kept, resumed and summed up."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from rich.console import Console
from typer.testing import CliRunner

from concord.bench import Job, Run, RunFailed, jobs, method_of, run, run_all, summarise, task_of, write_parquet
from concord.bench.overall import overall
from concord.bench.page import write_page
from concord.cli.main import app
from concord.core.errors import ConcordError, ConfigError

TINY = "bandit:steps=4,prompts=4,group=4"
TEXT = "safety:steps=2,prompts=2,group=4"
METHODS = ["gdpo", "grpo", "gd2po:tau=1.0"]


@pytest.fixture(scope="module")
def runs() -> list[Run]:
    return [Run(job, tuple(run(job))) for job in jobs([TINY, "bandit:steps=4"], METHODS, 3)]


@pytest.mark.parametrize("task", [TINY, TEXT])
def test_one_seed_is_one_run_and_methods_start_from_the_same_rollouts(task: str) -> None:
    first, again = (run(Job(task, "gdpo", 1)) for _ in range(2))
    assert first == again
    other = run(Job(task, "grpo", 1))
    rollouts = [name for name in first[0] if name not in ("kept", "computed", "sign_flips", "update_tokens")]
    assert [first[0][name] for name in rollouts] == [other[0][name] for name in rollouts]
    assert first[-1] != other[-1]
    assert run(Job(task, "gdpo", 0))[0]["value"] != first[0]["value"]


def test_dropped_rollouts_cost_nothing_in_the_update(runs: list[Run]) -> None:
    for one in runs:
        for point in one.points:
            assert point["update_tokens"] == pytest.approx(point["tokens"] * point["computed"])
            if one.job.method == "gd2po:tau=1.0":
                assert point["computed"] <= point["kept"] < 1


def test_learning_is_seen_in_the_curve() -> None:
    curve = [point["value"] for point in run(Job("bandit:steps=60", "gdpo", 0))]
    assert sum(curve[-10:]) / 10 > sum(curve[:10]) / 10 + 0.05


def test_what_is_done_is_not_done_again(tmp_path: Path) -> None:
    wanted, quiet = jobs([TINY], ["gdpo", "grpo"], 1), Console(quiet=True)
    first = run_all(wanted, tmp_path, processes=2, console=quiet)
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").iterdir()}
    assert len(files) == 2
    next(iter(files)).unlink()
    assert run_all(wanted, tmp_path, processes=2, console=quiet) == first  # one is missing: made in this process
    again = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").iterdir()}
    assert again.keys() == files.keys()
    assert sum(again[path] == files[path] for path in files) == 1
    assert Job(TINY, "gdpo", 0).digest() != Job(TINY.replace("steps=4", "steps=5"), "gdpo", 0).digest()
    assert [one.points for one in first] == [tuple(run(job)) for job in wanted]


def test_a_run_that_fails_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunFailed, match=r"clipo on bandit.*, seed 0: ConfigError: .*no learner"):
        run_all([Job(TINY, "clipo", 0)], tmp_path, processes=1, console=Console(quiet=True))


def test_the_parquet_has_a_row_a_step(tmp_path: Path, runs: list[Run]) -> None:
    table = pq.read_table(write_parquet(runs, tmp_path)).to_pandas()
    assert len(table) == sum(len(one.points) for one in runs)
    one = table[(table.task == TINY) & (table.method == "grpo") & (table.seed == 2)]
    assert one.step.tolist() == [1, 2, 3, 4]
    assert one["value"].tolist() == runs[[r.job for r in runs].index(Job(TINY, "grpo", 2))].curve("value")
    assert one.sign_flips.isna().all()


def a_run(method: str, seed: int, values: list[float], spent: float = 10.0) -> Run:
    names = ("success", "mixed", "silent", "kept", "sign_flips", "reward/first", "reward/second")
    point: dict[str, Any] = dict.fromkeys(names, 0.5) | {"update_tokens": spent, "tokens": 20.0}
    points = tuple(point | {"step": i + 1.0, "value": value} for i, value in enumerate(values))
    return Run(Job("bandit", method, seed), points)


def test_the_summary_by_hand() -> None:
    """Eight seeds; "a" is above the baseline by 0.1 in every one, "b" is the same at half the compute."""
    made = []
    for seed in range(8):
        base = [0.4, 0.4 + 0.01 * seed]
        made += [a_run("gdpo", seed, base), a_run("a", seed, [v + 0.1 for v in base])]
        made.append(a_run("b", seed, [0.4, base[1] + 0.001], 5.0))
    summary = summarise(made, "gdpo")
    (task,) = summary.tasks
    gdpo, a, b = task.rows
    assert (task.start, summary.seeds) == (pytest.approx(0.4), 8)
    assert task.target == pytest.approx(0.4 + 0.5 * (math.sqrt(0.5) - 0.4))
    assert gdpo.auc == pytest.approx(0.4 + 0.035 / 2)
    assert (gdpo.verdict(), a.verdict(), b.verdict()) == ("baseline", "better", "same")
    assert (a.difference, a.wins, a.p) == (pytest.approx(0.1), 8, 2 / 256)
    assert a.difference_interval == (pytest.approx(0.1), pytest.approx(0.1))
    assert a.p_holm == pytest.approx(4 / 256)  # two comparisons
    assert math.isnan(gdpo.p_holm)
    assert a.improvement == 1.0
    assert a.steps_to == math.inf
    # b spends 10 in all. With so much gdpo has taken one step, and b two.
    assert gdpo.at_budget == pytest.approx(0.4)
    assert b.at_budget == pytest.approx(0.4 + 0.001 / 2 + 0.035 / 2)
    assert b.at_budget_difference == pytest.approx(0.001 / 2 + 0.035 / 2)
    assert (a.update_tokens, b.update_tokens, gdpo.at_budget_difference) == (20.0, 10.0, 0.0)


def test_worse_and_open() -> None:
    made = [a_run(m, s, [v]) for s in range(8) for m, v in (("gdpo", 0.5), ("bad", 0.3), ("wild", 0.5 + (-1) ** s / 9))]
    assert [row.verdict() for row in summarise(made, "gdpo").tasks[0].rows] == ["baseline", "worse", "open"]


@pytest.mark.parametrize(
    ("p_holm", "p_equivalent", "difference", "verdict"),
    [
        (0.049, 1.0, 0.1, "better"),
        (0.049, 1.0, -0.1, "worse"),
        (0.05, 1.0, 0.1, "open"),
        (0.001, 0.049, 0.1, "same"),  # a difference that is there, and too small to matter
        (0.05, 0.05, 0.1, "open"),
    ],
)
def test_the_verdict_at_its_bars(p_holm: float, p_equivalent: float, difference: float, verdict: str) -> None:
    made = [a_run(method, seed, [0.5]) for seed in range(2) for method in ("gdpo", "a")]
    row = summarise(made, "gdpo").tasks[0].rows[1]
    row = replace(row, p=0.001, p_holm=p_holm, p_equivalent=p_equivalent, difference=difference)
    assert row.verdict() == verdict


@pytest.mark.parametrize(("apart", "inside"), [(0.0098, True), (0.0102, False)])
def test_methods_within_a_hundredth_are_the_same(apart: float, inside: bool) -> None:
    """Eight seeds with one difference: one sign pattern in 2^8 is as extreme, if it is inside the margin."""
    made = [a_run(m, s, [v]) for s in range(8) for m, v in (("gdpo", 0.5), ("a", 0.5 + apart))]
    row = summarise(made, "gdpo").tasks[0].rows[1]
    assert (row.p_equivalent == 1 / 256) is inside
    assert row.verdict() == ("same" if inside else "better")


def test_the_last_tenth_of_the_steps_is_final_and_the_rest_is_a_mean_over_all() -> None:
    """Thirty-nine steps have a last tenth of three, nine have one; success and shares are over all of them."""
    made = []
    for seed, method in itertools.product(range(2), ("gdpo", "a")):
        one = a_run(method, seed, [float(step) for step in range(39)])
        points = [p | {"success": p["value"] / 38, "reward/first": p["value"], "kept": 0.75} for p in one.points]
        made.append(replace(one, points=tuple(points)))
    row = summarise(made, "gdpo").tasks[0].rows[0]
    assert row.final == (36 + 37 + 38) / 3
    assert row.success == pytest.approx(0.5)
    assert row.rewards["first"] == 37  # the bandit's are from 0 to 1
    assert (row.kept, row.mixed, row.silent, row.sign_flips) == (0.75, 0.5, 0.5, 0.5)
    assert (row.update_tokens, row.n, row.iqm) == (390.0, 2, 19.0)
    assert (row.wins, row.difference, row.improvement) == (0, 0.0, 0.5)  # a tie is no win
    rewards = {"reward/correctness": 1.5, "reward/format": 0.25, "reward/conciseness": 1.0}
    tools = replace(made[0], job=Job("tools3", "gdpo", 0), points=tuple(p | rewards for p in made[0].points))
    scaled = summarise([tools], "gdpo").tasks[0].rows[0].rewards  # correctness is from -3 to 3
    assert scaled == {"correctness": 0.75, "format": 0.25, "conciseness": 1.0}
    short = [a_run("gdpo", 0, [float(step) for step in range(9)])]
    assert summarise(short, "gdpo").tasks[0].rows[0].final == 8.0


def test_over_all_tasks_by_hand() -> None:
    """Six seeds of two tasks, on which "a" is above by 0.1 and by 0.3 at a half and a quarter of the tokens."""
    made = []
    for seed, (task, more, spent) in itertools.product(range(6), (("bandit", 0.1, 5.0), (TINY, 0.3, 2.5))):
        for method, value, tokens in (("gdpo", 0.4, 10.0), ("a", 0.4 + more, spent), ("b", 0.4, 10.0)):
            one = a_run(method, seed, [value], tokens)
            made.append(replace(one, job=Job(task, method, seed)))
    gdpo, a, b = overall(made, "gdpo")
    assert (a.n, a.wins, a.auc, a.difference) == (6, 6, pytest.approx(0.6), pytest.approx(0.2))
    assert a.interval == (pytest.approx(0.2), pytest.approx(0.2))
    assert (a.p, a.p_holm) == (2 / 64, 4 / 64)
    assert (b.p, b.p_holm, b.wins) == (1.0, 1.0, 0)
    assert (a.tokens, b.tokens, gdpo.tokens) == (pytest.approx(0.375), 1.0, 1.0)
    assert math.isnan(gdpo.p_holm)


def test_the_page_stands_alone(tmp_path: Path, runs: list[Run]) -> None:
    write_page(summarise(runs, "gdpo"), runs, tmp_path / "page.html", command="concord bench <b>")
    page = (tmp_path / "page.html").read_text()
    assert "concord bench &lt;b&gt;" in page
    assert page.count('class="curve') > 2 * len(METHODS) * 5
    assert page.count("<article") == 3
    for request in ("http://", "https://", "<link", "src="):
        assert request not in page.replace("http://www.w3.org/2000/svg", "")


def test_one_seed_and_one_step_are_enough_to_show(tmp_path: Path) -> None:
    made = [a_run("gdpo", 0, [0.5]), a_run("grpo", 0, [0.5], spent=0.0)]
    summary = summarise(made, "gdpo")
    write_page(summary, made, tmp_path / "page.html", command="")
    assert summary.tasks[0].rows[1].verdict() == "open"


def test_the_command(tmp_path: Path) -> None:
    arguments = ["bench", "--tasks", TINY, "--methods", "gdpo gd2po", "--seeds", "2", "--out", str(tmp_path)]
    found = CliRunner().invoke(app, [*arguments, "--processes", "1", "--json"])
    assert found.exit_code == 0, found.output
    data = json.loads(found.stdout)
    assert [row["method"] for row in data["tasks"][0]["rows"]] == ["gdpo", "gd2po"]
    assert data["tasks"][0]["rows"][0]["p"] is None
    shown = CliRunner().invoke(app, [*arguments, "--processes", "1"])
    assert "gd2po" in shown.stdout
    assert {path.name for path in tmp_path.iterdir()} == {"bench.html", "results.parquet", "runs"}


@pytest.mark.parametrize(
    ("build", "text", "complaint"),
    [
        (method_of, "gdop", r"no method, control or candidate 'gdop'.*did you mean 'gdpo'"),
        (method_of, "gd2po:tua=1", r"no parameter 'tua'.*did you mean 'tau'"),
        (method_of, "gd2po:tau", r"write name:key=value"),
        (method_of, "gd2po:tau=[", r"is no value"),
        (method_of, "gd2po:tau=2", r"tau must be in \[0, 1\]"),
        (task_of, "tool3", r"no task 'tool3'.*did you mean 'tools3'"),
        (task_of, "tools3:best=2", r"no parameter 'best'"),
        (task_of, "tools3:steps=0", r"steps is a positive whole number, not 0"),
        (task_of, "tools3:rate=nan", r"rate is a positive number, not 'nan'"),
        (task_of, "tools3:group=1", r"a group of one"),
        (task_of, "tools3:steps=2,steps=3", r"each key once"),
    ],
)
def test_a_wrong_name_or_number_is_met_with_what_to_change(build: Any, text: str, complaint: str) -> None:
    with pytest.raises(ConcordError, match=complaint):
        build(text)


def test_numbers_in_names() -> None:
    assert task_of("tools3:rate=3e-4,group=16").rate == 3e-4
    assert method_of("gd2po:tau=0.5,rule=paper").signal.names[-1] == "reweight_groups"


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--methods", "grpo"], "the baseline 'gdpo' is not among"),
        (["--methods", "gdpo gdpo"], "names gdpo twice"),
        (["--tasks", " "], "names nothing"),
    ],
)
def test_options_that_do_not_fit(tmp_path: Path, options: list[str], complaint: str) -> None:
    found = CliRunner().invoke(app, ["bench", "--quick", "--out", str(tmp_path), *options])
    assert isinstance(found.exception, ConfigError)
    assert complaint in str(found.exception)
    assert not any(tmp_path.iterdir())


def test_over_all_tasks_differences_are_paired_by_seed_and_meaned_over_tasks(runs: list[Run]) -> None:
    tasks, seeds = list(dict.fromkeys(r.job.task for r in runs)), sorted({r.job.seed for r in runs})
    auc = {(r.job.task, r.job.method, r.job.seed): sum(r.curve("value")) / len(r.points) for r in runs}
    for row in overall(runs, "gdpo"):
        d = [sum(auc[t, row.method, s] - auc[t, "gdpo", s] for t in tasks) / len(tasks) for s in seeds]
        assert row.difference == pytest.approx(sum(d) / len(d))
        assert row.wins == sum(one > 0 for one in d)
        assert row.interval[0] <= row.difference <= row.interval[1]
        assert (row.method == "gdpo") == math.isnan(row.p)
    [frugal] = [row for row in overall(runs, "gdpo") if row.method == "gd2po:tau=1.0"]
    assert 0 < frugal.tokens < 1


def test_updates_of_a_batch_are_steps_on_the_same_rollouts() -> None:
    """The first batch is sampled alike; two updates of it cost twice the tokens, and change what is sampled next."""
    once, twice = (run(Job(f"bandit:steps=2,updates={updates}", "grpo", 0)) for updates in (1, 2))
    assert once[0]["value"] == twice[0]["value"]
    assert twice[0]["update_tokens"] == 2 * once[0]["update_tokens"]  # type: ignore[operator]
    assert once[1]["value"] != twice[1]["value"]
