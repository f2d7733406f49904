"""The examples run as they are shown, in few steps, and print what they promise."""

from __future__ import annotations

import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from concord.core import catalogue, stage
from concord.dumps import open_dump
from concord.report import analyse
from tests.examples.pages import ROOT

EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


@pytest.fixture(autouse=True)
def _apart(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In a folder of its own, and what an example registers is forgotten."""
    monkeypatch.chdir(tmp_path)
    catalogue.names()  # all that is installed is registered before, and stays
    monkeypatch.setattr(catalogue, "_ENTRIES", dict(catalogue._ENTRIES))
    monkeypatch.setattr(stage, "_STAGES", dict(stage._STAGES))


def run(name: str, *arguments: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", [name, *arguments])
        runpy.run_path(str(ROOT / "examples" / f"{name}.py"), run_name="__main__")


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_short_says_how_it_is_run_and_is_tested_here(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) < 120
    assert f"\n    python examples/{path.name}" in text
    assert path.stem in Path(__file__).read_text()


def test_a_dump_is_judged_from_python(capsys: pytest.CaptureFixture[str]) -> None:
    run("diagnose_dump")
    said = capsys.readouterr().out
    assert "`judge` opposes `brief`" in said
    assert re.search(r"judge +\d+% of the advantage, dead in 0% of groups: cancelled", said)
    assert re.search(r"serious .*opposes", said)


def test_a_dump_that_is_named_is_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [f'{{"step": 0, "prompt": "q", "completion": "a", "kind": {n}.0, "short": {3 - n}.0}}' for n in range(4)]
    (tmp_path / "mine.jsonl").write_text("\n".join(rows))
    run("diagnose_dump", "mine.jsonl")
    assert "cancelled share: 1.00" in capsys.readouterr().out


def test_a_loop_of_ones_own_trains(capsys: pytest.CaptureFixture[str]) -> None:
    run("own_loop", "1")
    steps = re.findall(r"step \d: .* kept (\d+)%, .* computed (\d+) tokens", capsys.readouterr().out)
    ((kept, tokens),) = steps
    assert 0 < int(kept) < 100  # at the start rewards conflict in some rollouts, and not in others
    assert int(tokens) > 0


def test_the_moved_trl_script_trains_and_dumps() -> None:
    run("trl_script", "2")
    analysis = analyse(open_dump(["runs/trl_script/rollouts"]))
    assert (analysis.steps, analysis.rollouts) == (2, 128)
    assert [reward.name for reward in analysis.rewards] == ["right", "brief", "working"]


def test_a_method_of_ones_own_is_built_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    run("custom_method")
    likeness = dict(re.findall(r"(\w+) +kept +\d+%, correlation with GDPO (\S+)", capsys.readouterr().out))
    assert float(likeness["gd2po"]) < float(likeness["capped_gdpo"]) < float(likeness["gdpo"]) == 1.0


def test_a_reward_that_hangs_fails_and_abstains_leaves_the_others_alone() -> None:
    shutil.copy(ROOT / "examples" / "slow_reward.py", "slow_reward.py")
    said = subprocess.run([sys.executable, "slow_reward.py"], capture_output=True, text=True, check=True).stdout
    assert re.findall(r"(timed out|failed|abstained|scored) +(\S+)", said) == [
        ("scored", "1.0"),
        ("scored", "0.0"),
        ("timed out", "None"),
        ("failed", "None"),
        ("abstained", "None"),
    ]
