"""The commands as a user runs them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

import concord
from concord.cli.main import main


class Done(NamedTuple):
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


Run = Callable[..., Done]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Run a command in this process, in an empty folder."""
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.chdir(tmp_path)

    def command(*words: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["concord", *words])
        capsys.readouterr()
        try:
            main()
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
        return Done(code, *capsys.readouterr())

    return command


def test_the_module_is_the_command() -> None:
    done = subprocess.run([sys.executable, "-m", "concord", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"concord {concord.__version__}\n"


def test_methods_lists_all_and_matches_globs(run: Run) -> None:
    every = run("methods").stdout
    assert all(name in every for name in concord.names())
    assert set(json.loads(run("methods", "gd*", "--json").stdout)) == {"gdpo", "gd2po", "gd2po_hard"}
    nothing = run("methods", "zz*")
    assert nothing.returncode == 2
    assert "no method matches 'zz*'; there are adora," in nothing.stderr


def test_show_has_card_chain_formula_needs_numerics(run: Run) -> None:
    text = run("show", "gd2po", "tau=0.5").stdout
    for part in (
        "2606.16771",
        "MaskConflicts(tau=0.5)",
        "z_k =",
        "lengths",
        "numerics",
        "Qwen-Applications/GD2PO@f1ad765",
    ):
        assert part in text
    data = json.loads(run("show", "gd2po", "tau=0.5", "numerics=trl", "--json").stdout)
    assert data["learner"] is None
    assert "Contrastive(correct='right'," in run("show", "clipo", "correct=right").stdout
    assert data["parameters"]["tau"] == 0.5
    assert concord.Chain.from_config(data["chain"]) == concord.create("gd2po", tau=0.5, numerics="trl").signal


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["show", "gdop"], "no method 'gdop'; did you mean 'gdpo'?"),
        (["show", "gd2po", "tua=1"], "no parameter 'tua'; there are tau,"),
        (["show", "gd2po", "tau=2"], "tau must be in [0, 1], got 2"),
        (["show", "gd2po", "tau=high"], "gd2po: tau: must be a number, got 'high'"),
        (["show", "gd2po", "tau=nan"], "gd2po: tau: must be a number, got 'nan'"),
        (["show", "gd2po", "tau=1e400"], "1e400 is beyond the numbers of a computer"),
        (["show", "gd2po", "tau=" + "[" * 3000], "more than 50 mappings and lists within each other"),
        (["show", "gd2po", "rule=papr"], "must be one of code, paper, got 'papr'; did you mean 'paper'?"),
        (["bench", "--methods", "gd2po:tau=high", "--baseline", "gd2po:tau=high"], "tau: must be a number, got 'high'"),
        (["train", "demo", "engine.bf16=maybe"], "engine.bf16: must be true or false or null, got 'maybe'"),
        (["show", "gd2po", "tau"], "'tau' is not name=value"),
        (["train", "no_such.yaml"], "no file no_such.yaml"),
        (["train", "demo", "engine.learning_rat=1"], "did you mean 'learning_rate'?"),
        (["train", "demo", "method=gd2p"], "did you mean 'gd2po'?"),
        (["train", "demo", "method.tua=1"], "method.tua: unknown key; did you mean 'tau'?"),
        (["eval", "demo", "data.eval=null"], "data.eval: names no held-out rows"),
        (["nonsense"], "No such command"),
    ],
)
def test_mistakes_are_named_without_a_traceback(run: Run, words: list[str], message: str) -> None:
    done = run(*words)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_train_then_eval(run: Run, run_file: Path) -> None:
    done = run("train", str(run_file), "engine.max_steps=2")
    assert done.returncode == 0, done.stderr
    assert "conflict" in done.stdout
    assert "difference" in done.stdout
    folder = run_file.parent / "runs" / "a"
    evaluated = run("eval", str(folder), "--json")
    assert json.loads(evaluated.stdout) == json.loads((folder / "evaluation.json").read_text())

    again = run("train", str(run_file), "engine.max_steps=2")
    assert again.returncode == 2
    assert "holds a run already" in again.stderr


def test_a_failing_reward_is_named_without_a_traceback(run: Run, run_file: Path) -> None:
    path = run_file.parent / "my_rewards.py"
    path.write_text(path.read_text().replace("1.0 - len(t.split()) / 8", "1 / 0"))
    done = run("train", str(run_file), "data.eval=null")
    assert done.returncode == 2
    assert (
        "error: reward 'brief': 16 of 16 scores failed; the first: ZeroDivisionError: division by zero" in done.stderr
    )
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("words", [["train", "demo"], ["eval", "demo"]])
def test_a_missing_engine_is_named_with_its_extra(run: Run, monkeypatch: pytest.MonkeyPatch, words: list[str]) -> None:
    for room in ("run", "engines"):
        monkeypatch.setattr(concord, room, getattr(concord, room, None), raising=False)  # put back with the modules
    for name in [name for name in sys.modules if name.startswith(("concord.run", "concord.engines"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "transformers", None)
    monkeypatch.setitem(sys.modules, "trl", None)
    done = run(*words)
    assert done.returncode == 2
    assert "is not installed; run: pip install 'concord-rl[train]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_what_the_disk_says_is_one_line(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = run(
        "bench", "--tasks", "bandit:steps=1,prompts=2,group=2", "--methods", "gdpo", "--seeds", "1", "--out", "file/x"
    )
    assert done.returncode == 2
    assert done.stderr == "error: file/x/runs: Not a directory\n"
    assert len(done.stderr.splitlines()) == 1


def test_json_of_a_training_stands_alone_whatever_rewards_print(run_file: Path) -> None:
    rewards = run_file.with_name("printing.py")
    rewards.write_text(
        "import os\nprint('imported')\n\n\ndef loud(completions, **kwargs):\n"
        "    print('called')\n    os.system('echo from a process')\n    os.write(1, b'beneath Python')\n"
        "    return [float(len(str(text)) % 3) for text in completions]\n"
    )
    words = ["-m", "concord", "train", run_file, f"rewards.loud.path={rewards}:loud", "--json"]
    done = subprocess.run([sys.executable, *map(str, words)], capture_output=True, text=True, check=True)
    assert set(json.loads(done.stdout)) == {"run", "evaluations"}
    for word in ("imported", "called", "from a process", "beneath Python"):
        assert word in done.stderr
