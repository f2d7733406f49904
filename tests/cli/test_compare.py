"""``concord compare``: several methods and seeds in one command that can be broken off."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from concord.cli.evaluation_tables import evaluation_table
from concord.cli.main import main
from concord.cli.output import stdout
from concord.core import safe_yaml
from concord.run.config import PublishedConfig
from concord.run.evaluate import Evaluation
from tests.cli.test_commands import Run, run  # noqa: F401 fixture

Words = list[list[str]]


@pytest.fixture
def compared(run_file: Path) -> Path:
    """The run with an evaluation, and figures that somebody has published."""
    raw = safe_yaml.read(run_file.read_text())
    raw["engine"]["max_steps"] = 2
    raw["evaluations"] = {
        "letters": {
            "sets": {"a": {"path": "rows.jsonl", "size": 2}, "b": {"path": "rows.jsonl", "size": 3}},
            "published": {"source": "arXiv:0000.00000, Table 7", "figures": {"grpo": {"early": {"overall": 0.375}}}},
        }
    }
    run_file.write_text(safe_yaml.write(raw))
    return run_file


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> Words:
    """Train in this process; the commands that would have been run."""
    words: Words = []

    def here(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        words.append(command)
        with monkeypatch.context() as patched:
            patched.setattr(sys, "argv", command[2:])  # behind "python -m"
            patched.setattr("concord.run.train.draw_curves", lambda *args: args[2].touch())
            try:
                main()
            except SystemExit as end:
                return subprocess.CompletedProcess(command, int(end.code or 0))
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr("concord.run.compare.subprocess.run", here)
    return words


def test_methods_by_seeds_with_published_figures_and_again_from_where_it_was(
    run: Run,  # noqa: F811
    compared: Path,
    trained: Words,
) -> None:
    words = ["compare", str(compared), "--method", "grpo", "--method", "{name: gd2po, tau: 0.5}", "--seeds", "2"]
    done = run(*words, "--json", "--on", "letters")
    assert done.returncode == 0, done.stderr
    out = compared.parent / "runs" / "a"
    folders = [out / method / f"seed{seed}" for method in ("grpo", "name-gd2po-tau-0.5") for seed in (0, 1)]
    assert [command[-1] for command in trained] == [f"out={folder}" for folder in folders]
    assert all((folder / "model").is_dir() for folder in folders)
    found = json.loads(done.stdout[done.stdout.index("{") :])["letters"]
    assert [len(runs) for runs in found.values()] == [2, 2]
    assert found["grpo"][0].keys() == {"a", "b", "overall"}

    again = run(*words)
    assert len(trained) == 4  # nothing was trained twice
    for part in ("held_out", "letters", "overall (5)", "a (2)", "±", "published", "0.375", "arXiv:0000.00000, Table 7"):
        assert part in again.stdout

    kept = out / "grpo" / "seed0" / "evaluations" / "letters.json"
    content = json.loads(kept.read_text())
    content["trained"]["overall"]["rewards"]["early"] = 123.0
    kept.write_text(json.dumps(content))
    assert "123" in run(*words[:4], "--seeds", "1", "--json").stdout  # read, not made again
    changed = run(*words[:4], "--seeds", "1", "--json", "evaluations.letters.max_completion_length=2")
    assert "123" not in changed.stdout  # unless it is another evaluation

    differs = run(*words, "engine.max_steps=3")
    assert differs.returncode == 2
    assert "holds another run; it differs at engine.max_steps" in differs.stderr


def test_a_run_that_was_broken_off_goes_on(run: Run, compared: Path, trained: Words) -> None:  # noqa: F811
    words = ["compare", str(compared), "--method", "grpo", "--seeds", "1", "data.eval=null"]
    rewards = compared.parent / "my_rewards.py"
    sound = rewards.read_text()
    rewards.write_text(sound.replace("1.0 - len(t.split()) / 8", "1 / 0"))
    broken = run(*words)
    assert broken.returncode == 2
    assert "seed0: training ended with code 2, see above; the same command goes on from there" in broken.stderr
    for name in [name for name in sys.modules if name.startswith("concord_reward_")]:
        del sys.modules[name]
    rewards.write_text(sound)
    done = run(*words)
    assert done.returncode == 0, done.stderr
    assert ["--resume" in command for command in trained] == [False, True]


def test_a_launcher_stands_before_the_command(run: Run, compared: Path) -> None:  # noqa: F811
    """A process of its own, here one that says what it was asked for and fails."""
    (compared.parent / "launch.py").write_text("import sys\nopen('words', 'w').write(str(sys.argv[1:]))\nsys.exit(3)\n")
    launcher = f"'{sys.executable}' '{compared.parent / 'launch.py'}' --num_processes 8 -m"
    done = run("compare", str(compared), "engine.beta=0.1", "--seeds", "1", "--launcher", launcher)
    folder = compared.parent / "runs" / "a" / "gd2po" / "seed0"  # the run's own method
    assert "training ended with code 3" in done.stderr
    words = [
        "--num_processes",
        "8",
        "-m",
        "concord",
        "train",
        str(compared),
        "engine.beta=0.1",
        "seed=0",
        f"out={folder}",
    ]
    assert str(words) == Path("words").read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--method", "gd2p"], "did you mean 'gd2po'?"),
        (["--on", "leters"], "no evaluation 'leters'; did you mean 'letters'?"),
        (["evaluations.letters.sets.a.path=no.jsonl"], "evaluation 'letters', set 'a': data.path: no file"),
        (["evaluations={}", "data.eval=null"], "data.eval: names no held-out rows"),
        (["--seeds", "0"], "Invalid value"),
    ],
)
def test_mistakes_show_before_anything_is_trained(
    words: list[str],
    message: str,
    run: Run,  # noqa: F811
    compared: Path,
    trained: Words,
) -> None:
    done = run("compare", str(compared), *words)
    assert done.returncode == 2
    assert message in done.stderr
    assert trained == []


def rows_of(print_table: Callable[[], None], capsys: pytest.CaptureFixture[str]) -> list[list[str]]:
    print_table()
    return [line.split() for line in capsys.readouterr().out.splitlines() if line.strip()]


def test_the_table_has_mean_and_sample_deviation(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 40, 50 and 60 the mean is 50 and the deviation, with n - 1, is 10."""
    monkeypatch.setattr(stdout, "_width", 100)

    def of(right: float) -> dict[str, Evaluation]:
        return {
            "small": Evaluation({"right": right, "[x]": float("nan")}, {"right": 0, "[x]": 3}, 3, 7.0, 0.0),
            "overall": Evaluation({"right": right / 2, "[x]": 1.0}, {"right": 0, "[x]": 0}, 9, 8.0, 0.25),
        }

    published = PublishedConfig(source="Table 1", figures={"grpo": {"right": {"small": 51.46}}})
    runs = {"grpo": [of(40.0), of(50.0), of(60.0)], "gdpo": [of(50.0)]}
    lines = rows_of(lambda: stdout.print(evaluation_table("bench", runs, published)), capsys)
    assert lines[0] == ["bench", "overall", "(9)", "small", "(3)"]
    assert lines[1:5] == [
        ["right"],
        ["grpo", "25.00", "±", "5.00", "50.00", "±", "10.00"],
        ["published", "51.46"],
        ["gdpo", "25.00", "50.00"],
    ]
    assert lines[5:8] == [["[x]"], ["grpo", "1.000", "±", "0.000", "-"], ["gdpo", "1.000", "-"]]
    assert lines[-1] == ["published:", "Table", "1"]
