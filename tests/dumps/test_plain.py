"""Tables in no known format: JSON lines, CSV and Parquet."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from concord.core.errors import DumpError
from concord.dumps import open_dump
from tests.dumps.truth import Row, check, read, rows, shuffled, write_lines

COLUMNS = {"prompt": "q", "completion": "a", "step": "t", "advantage": "adv", "length": "tokens", "truncated": "cut"}


def record(row: Row) -> dict[str, Any]:
    return {
        "t": row.step, "q": row.prompt, "a": row.completion, **row.scores, "adv": row.advantage, "tokens": row.length,
        "cut": row.truncated, "id": 7,
    }  # fmt: skip


def write_csv(path: Path, records: list[dict[str, Any]]) -> Path:
    with path.open("w", newline="") as file:
        table = csv.DictWriter(file, list(records[0]))
        table.writeheader()
        table.writerows(records)
    return path


def write_parquet(path: Path, records: list[dict[str, Any]]) -> Path:
    pd.DataFrame(records).to_parquet(path)
    return path


WRITERS: dict[str, Callable[[Path, list[dict[str, Any]]], Path]] = {
    "json": write_lines, "csv": write_csv, "parquet": write_parquet,
}  # fmt: skip


@pytest.mark.parametrize("writer", WRITERS.values(), ids=WRITERS)
@pytest.mark.parametrize("order", [list, shuffled])
def test_columns_by_name(tmp_path: Path, writer: Any, order: Any) -> None:
    wanted = rows()
    path = writer(tmp_path / "no ending", [record(row) for row in order(wanted)])
    dump, groups = read(path, columns=COLUMNS)
    check(groups, wanted, advantages=True, lengths=True, truncated=True)
    assert dump.rewards == ("right", "short")  # not id
    apart = any("rows of a group lie apart" in sentence for sentence in dump.inferred)
    assert apart == (order is shuffled)


@pytest.mark.parametrize("writer", WRITERS.values(), ids=WRITERS)
def test_usual_names_are_guessed(tmp_path: Path, writer: Any) -> None:
    wanted = rows()
    records = [
        {"question": r.prompt, "response": r.completion, "group_id": f"g{r.group}", "global_step": r.step, **r.scores}
        for r in wanted
    ]
    dump, groups = read(writer(tmp_path / "x", records))
    check(groups, wanted)
    assert dump.format == (
        "plain table (guessed: prompt = 'question', completion = 'response', group = 'group_id', step = 'global_step')"
    )
    assert groups[0].key == "g0"
    assert "rewards: right, short" in dump.inferred[0]


def test_steps_may_stand_in_the_names_of_files(tmp_path: Path) -> None:
    wanted = rows()
    for row in wanted:
        with (tmp_path / f"part-{row.step}.csv").open("a") as file:
            if file.tell() == 0:
                file.write("prompt;right\n")
            file.write(f"{row.prompt};{row.scores['right']}\n")
    dump, groups = read(tmp_path)
    assert [group.step for group in groups] == [1, 1, 1, 2, 2, 2, 10, 10, 10]
    assert "steps are taken from the files' or folders' names" in dump.inferred


def test_without_any_step_all_is_step_0(tmp_path: Path) -> None:
    records = [{"prompt": "p", "right": n} for n in range(4)]
    dump, groups = read(write_lines(tmp_path / "rollouts2024.jsonl", records))
    assert [(group.step, len(group.completions)) for group in groups] == [(0, 4)]
    assert "no step, neither in the rows nor in the files' names: all count as step 0" in dump.inferred


def test_group_by_takes_the_place_of_the_prompt(tmp_path: Path) -> None:
    records = [{"prompt": "the same", "task": n // 4, "seed": n % 2, "right": n} for n in range(16)]
    path = write_lines(tmp_path / "x", records)
    _, groups = read(path, group_by=["task", "seed"])
    assert sorted(group.key for group in groups) == sorted(f"{t}/{s}" for t in range(4) for s in range(2))
    assert groups[0].scores[:, 0].tolist() == [0, 2]
    _, by_role = read(path, group_by=["step", "prompt"])
    assert [len(group.completions) for group in by_role] == [16]
    with pytest.raises(DumpError, match="row without the column 'nobody' of group_by: 16"):
        open_dump(path, group_by=["nobody"])


def test_missing_steps_and_groups_are_none(tmp_path: Path) -> None:
    frame = pd.DataFrame({"prompt": list("aabb"), "group": [1, None, None, None], "step": [3, 3, None, None], "r": 1.0})
    frame.to_parquet(tmp_path / "t")
    _, groups = read(tmp_path / "t")
    assert [(group.step, group.prompt, len(group.completions)) for group in groups] == [
        (3, "a", 1),
        (3, "a", 1),
        (0, "b", 2),
    ]
    path = write_lines(
        tmp_path / "x", [{"prompt": "p", "step": step, "r": 1} for step in (1, "2", 3.0, "x", 1e300, None)]
    )
    dump, groups = read(path)
    assert [group.step for group in groups] == [1, 2, 3, 0]
    assert dump.skipped == {"a step that is no whole number": 2}


def test_numbers_written_as_text_are_rewards_when_named(tmp_path: Path) -> None:
    records = [{"prompt": "p", "right": str(n), "other": 1.0} for n in range(4)]
    path = write_lines(tmp_path / "x", records)
    assert open_dump(path).rewards == ("other",)
    _, groups = read(path, rewards=["right"])
    assert groups[0].scores[:, 0].tolist() == [0, 1, 2, 3]


def test_what_is_named_must_be_there(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "x", [record(row) for row in rows((1,))])
    with pytest.raises(
        DumpError, match=r"rewards: there is no 'rihgt'; did you mean 'right'.*numbers in the dump: t, right"
    ):
        open_dump(path, columns=COLUMNS, rewards=["rihgt"])
    with pytest.raises(DumpError, match="rewards: named twice: right"):
        open_dump(path, columns=COLUMNS, rewards=["right", "right"])
    with pytest.raises(DumpError, match="columns: no role 'promt'; did you mean 'prompt'"):
        open_dump(path, columns={"promt": "q"})
    with pytest.raises(DumpError, match="columns: name the column of the prompt or of the group"):
        open_dump(path, columns={"completion": "a"})
    with pytest.raises(DumpError, match="columns: no row has 'nowhere'; fields seen: t, q, a, right"):
        open_dump(path, columns={"prompt": "nowhere"})


def test_a_file_without_prompt_or_group_is_told_how_to_be_read(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "metrics.jsonl", [{"loss": 0.1, "epoch": 1}])
    with pytest.raises(DumpError, match=r"fields seen: epoch, loss\. If this is a table.*--columns prompt="):
        open_dump(path)


def test_no_numbers_no_rewards(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "x", [{"prompt": "p", "completion": "c", "step": 3}] * 4)
    with pytest.raises(DumpError, match=r"no value looks like a reward; of the numbers \(step\) name the rewards"):
        open_dump(path)
