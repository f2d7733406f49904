"""Evaluations named in a configuration: what is read, what is scored, what is added up."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concord.core import safe_yaml
from concord.core.errors import ConfigError
from concord.run.config import load_config
from concord.run.data import load_rows
from concord.run.evaluate import Evaluation
from concord.run.evaluations import check_evaluation, chosen, evaluate_sets, load_policy, pooled
from tests.engines import tiny

READER = """
import json
import pathlib

def rows(path):
    return [{"prompt": entry["q"], "answer": "a"} for entry in json.loads(pathlib.Path(path).read_text())]

def nothing(path):
    return []

def broken(path):
    return 1 / 0

def share_of_a(completions, answer, **_):
    return [text.split().count(truth) for text, truth in zip(completions, answer)]
"""


@pytest.fixture
def with_evaluation(run_file: Path) -> Path:
    """The run with an evaluation on two sets, of which one has rows in a form of its own."""
    folder = run_file.parent
    (folder / "own.py").write_text(READER)
    (folder / "own.json").write_text(json.dumps([{"q": prompt} for prompt in tiny.prompts(3)["prompt"]]))
    raw = safe_yaml.read(run_file.read_text())
    raw["evaluations"] = {
        "letters": {
            "sets": {
                "own": {"path": "own.json", "reader": "own.py:rows"},
                "again": {"path": "rows.jsonl", "size": 5},
            },
            "rewards": {"a": {"path": "own.py:share_of_a", "scale": 100}},
            "max_completion_length": 3,
        },
        "others": {"sets": {"again": {"path": "rows.jsonl", "size": 2}}},
    }
    run_file.write_text(safe_yaml.write(raw))
    return run_file


def test_paths_start_at_the_files_folder(
    with_evaluation: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    config = load_config(with_evaluation, ["evaluations.letters.sets.again.path=there.jsonl"])
    letters = config.evaluations["letters"]
    folder = with_evaluation.parent
    assert letters.sets["own"].path == str(folder / "own.json")
    assert letters.sets["own"].reader == f"{folder / 'own.py'}:rows"
    assert letters.sets["again"].path == str(tmp_path / "elsewhere" / "there.jsonl")
    assert letters.rewards is not None
    assert letters.rewards["a"].path == f"{folder / 'own.py'}:share_of_a"
    config.out.mkdir(parents=True)
    (config.out / "config.yaml").write_text(config.to_yaml())
    assert load_config(config.out / "config.yaml") == config


def test_every_set_is_answered_and_all_rows_count_alike(with_evaluation: Path, tiny_model: Path) -> None:
    config = load_config(with_evaluation)
    policy = load_policy(str(tiny_model), on_cpu=True)
    found = evaluate_sets(config, config.evaluations["letters"], policy)
    assert {label: part.rows for label, part in found.items()} == {"own": 3, "again": 5, "overall": 8}
    assert all(part.rewards.keys() == {"a"} and part.length <= 3 for part in found.values())
    total = 3 * found["own"].rewards["a"] + 5 * found["again"].rewards["a"]
    assert found["overall"].rewards["a"] == pytest.approx(total / 8)
    assert found["own"].rewards["a"] * 3 % 100 == pytest.approx(0)  # whole hits, scaled to per cent

    others = evaluate_sets(config, config.evaluations["others"], policy)
    assert list(others) == ["again"]  # a single set is all there is
    assert others["again"].rewards.keys() == {"early", "brief"}  # the run's


def test_held_out_rows_are_an_evaluation_of_that_name(with_evaluation: Path) -> None:
    config = load_config(with_evaluation)
    assert list(chosen(config, None)) == ["held_out", "letters", "others"]
    assert list(chosen(config, ["others"])) == ["others"]
    with pytest.raises(ConfigError, match="no evaluation 'leters'; did you mean 'letters'"):
        chosen(config, ["leters"])


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("evaluations.letters.sets.own.reader=own.py:no", "no function 'no'"),
        ("evaluations.letters.sets.own.reader=own.py:broken", "broken raised ZeroDivisionError"),
        ("evaluations.letters.sets.own.reader=own.py:nothing", "must return a list of dicts"),
        ("evaluations.letters.sets.own.split=train[:1]", "a reader reads whole files"),
        ("evaluations.letters.sets.own.path=no.json", "set 'own': data.path: no file"),
        ("evaluations.letters.rewards.a.path=own.py:no", "no function 'no'"),
    ],
)
def test_what_is_wrong_shows_before_training(
    override: str, message: str, with_evaluation: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(with_evaluation.parent)
    config = load_config(with_evaluation, [override])
    with pytest.raises(ConfigError, match=message.replace("(", r"\(")):
        check_evaluation(config, "letters", config.evaluations["letters"])


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("evaluations.held_out={sets: {a: {path: rows.jsonl}}}", "evaluations.held_out: an evaluation's name"),
        ("evaluations.letters.sets.overall={path: rows.jsonl}", "sets.overall: is what all sets together are called"),
        ("evaluations.letters.sets={}", "evaluations.letters.sets"),
        ("evaluations.letters.set={}", "did you mean 'sets'"),
        ("evaluations.letters.rewards.a.path=null", "give one of path, url and model"),
        ("sizes={model: 0}", "sizes.model"),
    ],
)
def test_a_section_that_will_not_do(override: str, message: str, with_evaluation: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config(with_evaluation, [override])


def test_rows_of_a_reader_can_be_trained_on(with_evaluation: Path) -> None:
    words = ["data.path=own.json", "data.reader=own.py:rows", "data.eval=null"]
    folder = with_evaluation.parent
    config = load_config(with_evaluation, [word.replace("=own", f"={folder}/own") for word in words])
    assert load_rows(config.data)["prompt"] == tiny.prompts(3)["prompt"]


scores = st.lists(st.one_of(st.none(), st.floats(-5, 5)), min_size=1, max_size=6)


def evaluation(column: list[float | None]) -> Evaluation:
    there = [score for score in column if score is not None]
    mean = sum(there) / len(there) if there else math.nan
    return Evaluation({"r": mean}, {"r": column.count(None)}, len(column), float(len(column)), 0.5)


@given(st.lists(scores, min_size=1, max_size=4))
def test_pooled_is_as_if_the_sets_had_been_one(parts: list[list[float | None]]) -> None:
    found, whole = pooled([evaluation(part) for part in parts]), evaluation([score for part in parts for score in part])
    assert found.rewards["r"] == pytest.approx(whole.rewards["r"], nan_ok=True)
    assert (found.unscored, found.rows, found.unfinished) == (whole.unscored, whole.rows, 0.5)
    assert found.length == pytest.approx(sum(len(part) ** 2 for part in parts) / whole.rows)
