"""``concord diagnose`` from the outside: its output, its exit codes, and whatever may be thrown at it."""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from concord import Groups, Rollouts, create
from concord.cli.main import main
from concord.dumps import write

Result = tuple[int, str, str]


@pytest.fixture
def concord(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Run ``concord diagnose`` with arguments; exit code, stdout, stderr."""
    monkeypatch.setenv("COLUMNS", "200")

    def call(*arguments: object) -> Result:
        monkeypatch.setattr(sys, "argv", ["concord", "diagnose", *map(str, arguments)])
        try:
            main()
            code = 0
        except SystemExit as done:
            code = int(done.code or 0)
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return code, out, err

    return call


def write_dump(path: Path, opposed: bool = True, steps: int = 10) -> Path:
    """A plain table as jsonl: two rewards that oppose each other, or do not."""
    generator = random.Random(0)
    with path.open("w") as file:
        for step in range(steps):
            for prompt in range(4):
                for _ in range(8):
                    right = float(generator.random() < 0.5)
                    short = generator.gauss(-right if opposed else 0.0, 0.6)
                    row = {"step": step, "prompt": f"q{step}.{prompt}", "completion": "x" * generator.randint(1, 99)}
                    file.write(json.dumps({**row, "correct": right, "short": short}) + "\n")
    return path


REWARDS = ("--rewards", "correct,short")


def test_the_summary_says_what_is_wrong(concord: Any, tmp_path: Path) -> None:
    code, out, _ = concord(write_dump(tmp_path / "run.jsonl"), *REWARDS)
    assert code == 0
    assert "320 rollouts in 40 groups over 10 steps" in out
    assert "`correct` opposes `short` in" in out
    for word in ("of |A|", "correct / short", "gd2po tau=0.8", "grpo", "read as"):
        assert word in out


def test_json_is_one_object_and_nothing_else(concord: Any, tmp_path: Path) -> None:
    code, out, err = concord(write_dump(tmp_path / "run.jsonl"), *REWARDS, "--json")
    record = json.loads(out)
    assert code == 0
    assert {
        "cancelled_share", "mixed_sign_share", "whitening_gain", "rollouts", "groups", "rewards", "sweep", "findings",
        "inferred", "skipped",
    } <= record.keys()  # fmt: skip
    assert record["rewards"].keys() == {"correct", "short"}
    assert {"dead_group_share", "mean", "within_group_std", "share_of_advantage"} <= record["rewards"]["short"].keys()
    assert (record["rollouts"], record["groups"]) == (320, 40)
    assert "read as" in err


def test_weights_count(concord: Any, tmp_path: Path) -> None:
    path = write_dump(tmp_path / "run.jsonl")
    record = json.loads(concord(path, *REWARDS, "--weights", "correct=1,short=0", "--json")[1])
    assert record["rewards"]["short"]["share_of_advantage"] == 0
    assert record["cancelled_share"] == 0


@pytest.mark.parametrize(
    ("comparison", "code"), [("cancelled>0.4", 1), ("cancelled_share>0.99", 0), ("rollouts<1", 0), ("serious>0", 1)]
)
def test_fail_on_decides_the_exit_code(concord: Any, tmp_path: Path, comparison: str, code: int) -> None:
    path = write_dump(tmp_path / "run.jsonl")
    found, out, err = concord(path, *REWARDS, "--json", "--fail-on", "groups<1", "--fail-on", comparison)
    assert found == code
    assert ("failed on" in err) == bool(code)
    json.loads(out)


def test_several_paths_are_compared(concord: Any, tmp_path: Path) -> None:
    sick, well = write_dump(tmp_path / "sick.jsonl"), write_dump(tmp_path / "well.jsonl", opposed=False)
    code, out, _ = concord(sick, well, *REWARDS)
    assert code == 0
    assert "side by side" in out
    record = json.loads(concord(sick, well, *REWARDS, "--json")[1])["dumps"]
    assert record["sick.jsonl"]["cancelled_share"] > record["well.jsonl"]["cancelled_share"] + 0.05
    assert concord(sick, well, *REWARDS, "--json", "--fail-on", "serious>0")[0] == 1


def test_our_own_dump_says_which_method_made_it(concord: Any, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    chain = create("gd2po", tau=0.8, weights={"short": 0.5}, numerics="trl").signal
    for step in range(3):
        right = (torch.rand(32) < 0.5).double()
        batch = Rollouts(torch.stack([right, torch.randn(32) - right], 1), Groups.uniform(4, 8), ("correct", "short"))
        write(
            tmp_path / "run",
            run="demo",
            step=step,
            prompts=[f"prompt {n // 8}" for n in range(32)],
            completions=["text"] * 32,
            batch=batch,
            outcome=chain(batch),
            unselected=chain.unselective()(batch).advantages,
            weights={"short": 0.5},
        )
    record = json.loads(concord(tmp_path / "run", "--json")[1])
    assert (record["rollouts"], record["groups"], record["steps"]) == (96, 12, 3)
    assert record["rewards"]["short"]["weight"] == 0.5
    matches = {row["method"]: row["correlation_with_dump"] for row in record["methods"]}
    assert matches["gd2po"] == pytest.approx(1.0, abs=1e-9)
    assert max(matches["gdpo"], matches["grpo"], matches["gd2po_hard"]) < 0.999


def test_out_writes_the_page_and_the_tables(concord: Any, tmp_path: Path) -> None:
    pytest.importorskip("jinja2")
    page = tmp_path / "new" / "report.html"
    code, out, err = concord(write_dump(tmp_path / "run.jsonl"), *REWARDS, "--out", page)
    assert (code, out) == (0, "")
    assert str(page) in err.replace("\n", "")
    assert page.read_text(encoding="utf-8").startswith("<!")
    tables = tmp_path / "new" / "report_tables"
    assert json.loads((tables / "analysis.json").read_text())["rollouts"] == 320
    assert {"rewards.csv", "sweep.csv", "steps.csv"} <= {path.name for path in tables.iterdir()}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--rewards", "correct,shrt"], "shrt"),
        (["--rewards", "correct,"], "--rewards"),
        (["--weights", "correct"], "--weights"),
        (["--weights", "correct=x"], "finite"),
        (["--weights", "correct=nan"], "finite"),
        (["--weights", "correct=1,correct=2"], "twice"),
        (["--weights", "corect=1"], "did you mean 'correct'"),
        (["--fail-on", "cancel"], "--fail-on"),
        (["--fail-on", "__import__('os').system('x')>1"], "--fail-on"),
        (["--columns", "prompt"], "--columns"),
        (["--group-by", "step,step"], "--group-by"),
        (["--out", "report.pdf"], "report.html"),
        (["--no-such-option"], "No such option"),
    ],
)
def test_a_mistake_in_use_is_told(concord: Any, tmp_path: Path, arguments: list[str], said: str) -> None:
    code, out, err = concord(write_dump(tmp_path / "run.jsonl", steps=2), *REWARDS, *arguments)
    assert (code, out) == (2, "")
    assert said in err


def test_out_where_nothing_can_be_written(concord: Any, tmp_path: Path) -> None:
    dump = write_dump(tmp_path / "run.jsonl", steps=2)
    code, _, err = concord(dump, *REWARDS, "--out", dump / "report.html")  # a file for a folder
    assert code == 2
    assert "--out" in err


def test_the_same_path_twice_and_far_too_many(concord: Any, tmp_path: Path) -> None:
    path = write_dump(tmp_path / "run.jsonl", steps=2)
    assert concord(path, path)[0] == 2
    code, _, err = concord(*(tmp_path / f"{i}.jsonl" for i in range(9)))
    assert code == 2
    assert "folder" in err


BAD: dict[str, bytes] = {
    "empty": b"",
    "not json": b"hello\nworld\n",
    "binary": bytes(range(256)) * 10,
    "no reward": b'{"prompt": "a", "completion": "b"}\n' * 4,
    "half a parquet": b"PAR1\x00\x00",
    "a pickle": b"\x80\x04\x95\x0c\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94\x8c\x06system\x94\x93\x94.",
    "nulls": b"null\n[]\n3\n",
}


@pytest.mark.parametrize("content", BAD.values(), ids=BAD)
def test_bad_files_are_refused_with_a_reason(concord: Any, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_bytes(content)
    code, out, err = concord(path)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")


def test_an_empty_folder_and_none_at_all(concord: Any, tmp_path: Path) -> None:
    assert concord(tmp_path)[0] == 2
    assert concord(tmp_path / "nothing.jsonl")[0] == 2


@pytest.mark.parametrize("score", ["NaN", "null", '"x"', "1e400", "true", "{}"])
def test_odd_scores_give_a_report_or_a_reason(concord: Any, tmp_path: Path, score: str) -> None:
    path = tmp_path / "odd.jsonl"
    row = '{"step": 0, "prompt": "p", "completion": "[bold]\\u001b[31m\\ud800<script>", "reward": %s, "other": %d}\n'
    path.write_text("".join(row % (score if i % 2 else "1.5", i) for i in range(8)))
    for options in ([], ["--json"], ["--rewards", "reward,other"]):
        code, out, err = concord(path, *options)
        assert code in (0, 2)
        assert out if code == 0 else err.startswith("error: ")
        assert "\x1b[31m" not in out


def test_names_from_a_dump_are_text_and_not_markup(concord: Any, tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    rows = [{"step": 0, "prompt": "p", "completion": "c", "[red]x[/]": float(i), "b": float(i % 3)} for i in range(8)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    code, out, _ = concord(path, "--rewards", "[red]x[/],b")
    assert code == 0
    assert "[red]x[/]" in out
