"""``concord rewards`` from the outside: its output, its exit codes, its ways to data."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from concord.cli import output
from concord.cli.main import main

CODE = """
import os
import time

print("imported")


def right(completions, answer, bonus=0.0, **kwargs):
    print("called")
    return [bonus + float(gold in text) for text, gold in zip(completions, answer)]


def short(completions):
    return [1.0 for _ in completions]


def told(completions, **kwargs):
    return [None if text == "" else "good" for text in completions]


def chats(completions, **kwargs):
    return [float(len(messages[0]["content"] or "")) for messages in completions]


def rude(completions, **kwargs):
    raise ValueError("\\x1b[31mred [bold]and loud[/]")


def compute_score(solution_str, ground_truth):
    return {"score": float(len(solution_str)), "acc": float(ground_truth in solution_str)}


def loud(completions, **kwargs):
    print("\\x1b[2J", "x" * 10_000)
    os.system("echo from a process")
    os.write(1, b"beneath Python\\n")
    return [float(len(text) % 3) for text in completions]


def ranks(prompts, completions, **kwargs):
    lengths = [len(text) for text in completions]
    return [(length - min(lengths)) / ((max(lengths) - min(lengths)) or 1) for length in lengths]


def grade(question, action, truth):
    return float(truth in action)


def by_gold(completions, gold, **kwargs):
    return [float(text == truth) for text, truth in zip(completions, gold)]
"""

ROWS = [
    {"question": f"q{n}", "response": f"it is {n}", "meta": {"gold": str(n % 3)}, "answer": "x", "note": None}
    for n in range(6)
]

Result = tuple[int, str, str]
Concord = Callable[..., Result]


@pytest.fixture
def concord(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Concord:
    """Run ``concord rewards`` beside a file of reward functions; exit code, stdout, stderr."""
    for console in (output.stdout, output.stderr):  # made when their module was, so COLUMNS comes too late
        monkeypatch.setattr(console, "_width", 200)
    monkeypatch.chdir(tmp_path)
    Path("my.py").write_text(CODE)

    def call(*arguments: object) -> Result:
        monkeypatch.setattr(sys, "argv", ["concord", "rewards", *map(str, arguments)])
        capsys.readouterr()
        try:
            main()
            code = 0
        except SystemExit as done:
            code = int(done.code or 0)
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return code, out, err

    return call


@pytest.fixture
def check(concord: Concord) -> Callable[..., dict[str, Any]]:
    """Run ``concord rewards check ... --json``; what it prints, with the exit code."""

    def call(*arguments: object) -> dict[str, Any]:
        code, out, _ = concord("check", *arguments, "--size", "4", "--json")
        return {**json.loads(out), "code": code}

    return call


def findings(printed: dict[str, Any], number: int = 0) -> dict[str, Any]:
    return {finding["check"]: finding for finding in printed["rewards"][number]["findings"]}


def test_a_clean_function_is_shown_and_exits_with_0(concord: Concord) -> None:
    code, out, _ = concord("check", "my.py:right", "--size", "8", "--range", "0,1")
    assert code == 0
    assert "right  trl (parameter completions)" in out
    for word in (
        "calls",
        "8 scored",
        "0 to 1, mean",
        "asked twice: the same scores",
        "a call p50",
        "emoji",
        "0 faults",
    ):
        assert word in out or word == "emoji"
    assert "the rows are Concord's own: give yours with --data" in out
    assert "imported" not in out
    assert "called" not in out


def test_a_fault_exits_with_1_and_says_what_to_do(concord: Concord) -> None:
    code, out, _ = concord("check", "my.py:told", "--size", "2")
    assert code == 1
    assert "2 of 2 invalid; the first: returned 'good' (str)" in out
    assert "return a finite number, or None where there is nothing to judge" in out


def test_what_a_function_says_is_shown_and_not_obeyed(concord: Concord) -> None:
    code, out, _ = concord("check", "my.py:rude", "--size", "1")
    assert code == 1
    assert "ValueError: \\x1b[31mred [bold]and loud[/]" in out


def test_json_is_one_object_and_nothing_else(check: Any) -> None:
    printed = check("my.py:told")
    assert printed["code"] == 1
    assert set(printed) == {"rewards", "faults", "warnings", "notes", "printed", "code"}
    assert printed["printed"]["lines"][0] == "imported"
    assert printed["rewards"][0]["reward"] == "told"
    assert printed["rewards"][0]["form"] == "trl (parameter completions)"
    assert findings(printed)["values"]["verdict"] == "fault"
    assert set(findings(printed)["values"]) == {"check", "verdict", "seen", "advice", "numbers"}
    assert printed["faults"] == sum(finding["verdict"] == "fault" for finding in findings(printed).values())


def test_form_key_and_options_reach_the_function(check: Any) -> None:
    by_key = check("my.py:compute_score", "--form", "verl", "--key", "acc", "--range", "0,1")
    assert (by_key["code"], by_key["rewards"][0]["form"]) == (0, "verl (as stated)")
    assert findings(check("my.py:right", "--options", "{bonus: 2}"))["range"]["numbers"]["max"] == 3
    assert findings(check("my.py:right", "bonus=3", "--options", "{bonus: 2}"))["range"]["numbers"]["max"] == 4


def test_texts_can_be_handed_on_as_messages(check: Any) -> None:
    assert check("my.py:chats", "--chat")["code"] == 0
    assert "TypeError" in findings(check("my.py:chats"))["calls"]["seen"]


def write_rows(path: Path) -> Path:
    """``ROWS`` as whatever the suffix says; CSV has no nested columns."""
    if path.suffix == ".parquet":
        import pyarrow
        import pyarrow.parquet

        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), path)
    elif path.suffix == ".csv":
        lines = [f"{row['question']},{row['response']},{row['meta']['gold']}" for row in ROWS]
        path.write_text("\n".join(["question,response,meta.gold", *lines]))
    elif path.suffix == ".json":
        path.write_text(json.dumps([*ROWS, "no row"]))
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in ROWS) + "{broken\n")
    return path


@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".csv", ".parquet"])
def test_rows_are_read_from_files_and_columns_named(concord: Concord, suffix: str) -> None:
    path = write_rows(Path(f"rows{suffix}"))
    columns = "prompt=question,completion=response,gold=meta.gold"
    code, out, _ = concord("check", "my.py:by_gold", "--data", path, "--columns", columns, "--json")
    printed = json.loads(out)
    assert code == 0
    assert findings(printed)["calls"]["numbers"]["scored"] == 6
    assert not any("Concord's own" in note or "completions are made" in note for note in printed["notes"])
    passed_over = {".jsonl": "line that is not JSON", ".json": "entry that is no JSON object"}
    assert printed["notes"][0] == "6 completions"
    assert (f"passed over 1: {passed_over.get(suffix)}" in printed["notes"]) == (suffix in passed_over)


def test_a_folder_of_a_runs_rollouts_is_data(check: Any) -> None:
    folder = Path("rollouts")
    folder.mkdir()
    import pyarrow
    import pyarrow.parquet

    rows = [{"step": 1, "prompt": "p", "completion": text, "advantage": 0.0, "reward/old": 1.0} for text in "ab"]
    for name in ("completions_00001.parquet", "completions_00002.parquet"):
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), folder / name)
    printed = check("my.py:chats", "--chat", "--data", folder)
    assert findings(printed)["calls"]["seen"] == "4 scored"
    assert findings(printed)["signal"]["verdict"] == "warning"


def test_data_without_completions_are_answered(check: Any) -> None:
    Path("rows.jsonl").write_text(json.dumps({"prompt": "p", "answer": "7"}) + "\n")
    printed = check("my.py:right", "--data", "rows.jsonl")
    assert findings(printed)["range"]["numbers"]["max"] == 1
    assert any("completions are made of the answers" in note for note in printed["notes"])


CONFIG = """
model: m
method: gd2po
data: {path: builtin:tool_task, size: 999, max_prompt_tokens: 5}
rewards:
  right: {path: "my.py:right", options: {bonus: 1}, weight: 0.5, timeout: 20s}
  acc: {path: "my.py:compute_score", form: verl, key: acc, when: "right >= 1"}
  told: {path: "my.py:told", on_error: zero}
out: run
"""


def test_a_configuration_has_all_its_rewards_checked(check: Any) -> None:
    Path("run.yaml").write_text(CONFIG)
    write_rows(Path("rows.jsonl"))
    printed = check(
        "run.yaml", "rewards.right.options.bonus=2", "--data", "rows.jsonl", "--columns", "completion=response"
    )
    assert printed["code"] == 1
    assert [reward["reward"] for reward in printed["rewards"]] == ["right", "acc", "told"]
    assert printed["rewards"][1]["form"] == "verl (as stated)"
    right, acc, told = (findings(printed, number) for number in range(3))
    assert right["range"]["numbers"]["max"] == 2
    assert acc["gate"]["seen"] == "right >= 1: open for 4 of 4"
    assert told["values"]["verdict"] == "fault"


def test_a_configuration_brings_its_own_rows(check: Any) -> None:
    Path("run.yaml").write_text(CONFIG)
    printed = check("run.yaml", "rewards={exact: {path: 'concord.recipes.tool_task:exact'}}")
    assert printed["code"] == 0
    assert findings(printed)["range"]["numbers"]["max"] == 1
    assert "the rows are those of builtin:tool_task" in printed["notes"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["my.py:rihgt"], "has no function 'rihgt'; did you mean 'right'?"),
        (["my.py"], "names no function; write file.py:function"),
        (["my.py:short"], "state which, as form: trl"),
        (["my.py:by_gold"], "no column 'gold'"),
        (["my.py:right", "--form", "vrl"], "no form 'vrl'; did you mean 'verl'?"),
        (["my.py:right", "--options", "[1]"], "--options '[1]': not names and values"),
        (["my.py:right", "bonnus=1"], "takes no option 'bonnus'; did you mean 'bonus'?"),
        (["my.py:right", "--range", "1,0"], "--range '1,0': not the least and the greatest score"),
        (["my.py:right", "--range", "0"], "--range '0': not the least"),
        (["my.py:right", "--timeout", "soon"], "--timeout 'soon': 'soon' is no duration"),
        (["my.py:right", "--timeout", "0"], "must be a positive number of seconds"),
        (["my.py:right", "--columns", "prompt=a"], "give it too"),
        (["my.py:right", "--data", "none.jsonl"], "none.jsonl: no such file or folder"),
        (
            ["my.py:right", "--data", "my.py"],
            "no rows in JSON lines, JSON, CSV or Parquet; passed over 1: my.py is neither",
        ),
        (["my.py:right", "--data", "rows.jsonl", "--columns", "prompt=qestion"], "did you mean 'question'?"),
        (["my.py:right", "--data", "rows.jsonl", "--columns", "prompt"], "not name=value pairs"),
        (["my.py:right", "--size", "0"], "--size"),
        (["run.yaml", "--key", "acc"], "--key is for a function; in a configuration it stands with the reward"),
        (["run.yaml", "data.path=none.jsonl"], "no file"),
        (["none.yaml"], "no file none.yaml"),
    ],
)
def test_misuse_exits_with_2_and_says_what_is_wrong(concord: Concord, arguments: list[str], said: str) -> None:
    Path("run.yaml").write_text(CONFIG)
    write_rows(Path("rows.jsonl"))
    code, out, err = concord("check", *arguments)
    assert (code, out) == (2, "")
    assert said in " ".join(err.split())


def test_rows_that_a_configuration_cannot_read_can_be_given(concord: Concord) -> None:
    Path("run.yaml").write_text(CONFIG)
    _, _, err = concord("check", "run.yaml", "data.path=none.jsonl")
    assert "rows to check with can be given with --data" in err


def test_forms_are_listed(concord: Concord) -> None:
    code, out, _ = concord("forms")
    assert code == 0
    for word in ("slime, miles", "ms-swift", "compute_score(data_source, solution_str", "OpenRLHF"):
        assert word in out
    listed = json.loads(concord("forms", "--json")[1])
    assert list(listed)[:6] == ["trl", "verl", "openrlhf", "swift", "slime", "verifiers"]
    assert {"easyr1", "areal", "rllm", "nemo", "nemo-env"} < set(listed)
    assert listed["swift"]["names"] == ["swift", "ms-swift"]


def test_what_a_function_prints_is_bounded_and_apart(concord: Concord) -> None:
    code, out, err = concord("check", "my.py:loud", "--size", "4")
    assert code == 0
    assert "loud  trl" in out
    assert "xxx" not in out
    assert "the rewards printed " in err
    assert len(err) < 20_000
    assert "\x1b[2J" not in err
    assert "\\x1b[2J x" in err


@pytest.mark.parametrize("function", ["loud", "right"])
def test_json_stands_alone_on_the_real_descriptor(function: str, concord: Concord, tmp_path: Path) -> None:
    words = ["-m", "concord", "rewards", "check", f"my.py:{function}", "--size", "2", "--json"]
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert json.loads(done.stdout)["faults"] == 0
    assert json.loads(done.stdout)["printed"]["bytes"] > 0
    assert done.stderr == ""


def test_a_reward_that_compares_its_batch_can_say_so(check: Any, concord: Concord) -> None:
    silent = check("my.py:ranks")
    assert (silent["code"], findings(silent)["batch"]["verdict"]) == (0, "warning")
    said = check("my.py:ranks", "--group-relative")
    assert (said["code"], findings(said)["batch"]["verdict"]) == (0, "ok")


def test_parameters_of_any_names_are_stated(check: Any, concord: Concord) -> None:
    found = check("my.py:grade", "--form", "{prompt: question, response: action, answer: truth}")
    assert (found["code"], found["faults"]) == (0, 0)
    code, _, err = concord("check", "my.py:grade", "--form", "{prompt question")
    assert code == 2
    assert "--form '{prompt question': not YAML" in err or "not names and values" in err
    code, _, err = concord("check", "my.py:grade")
    assert code == 2
    assert "as form: {prompt: question, response: action, answer: truth}" in err
