"""verl's JSON lines, of the legacy trainer, of V1, and of validation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from concord.dumps import open_dump
from tests.dumps.truth import Row, by_step, check, read, rows, shuffled, write_lines


def legacy(row: Row) -> dict[str, Any]:
    return {"input": row.prompt, "output": row.completion, "gts": "42", "score": row.total, "step": row.step}


def v1(row: Row, outputs: int = 1, output: int = 0) -> dict[str, Any]:
    return {**legacy(row), "uid": f"3f_a_{row.group}_{row.index}_{output}"}


def write(folder: Path, wanted: list[Row], record: Any) -> Path:
    for step, here in by_step(wanted).items():
        write_lines(folder / f"{step}.jsonl", map(record, here))
    return folder


def test_legacy_rows_lie_apart_and_hold_every_component(tmp_path: Path) -> None:
    wanted = rows()
    folder = write(
        tmp_path, shuffled(wanted), lambda row: {**legacy(row), **row.scores, "pred": "42", "request_id": "x"}
    )
    dump, groups = read(folder)
    check(groups, wanted)
    assert dump.format == "verl"
    assert dump.rewards == ("right", "short")
    assert "left out as a total of the others: score" in dump.inferred
    assert any(sentence.startswith("no group id: grouped by (step, prompt)") for sentence in dump.inferred)
    assert [group.step for group in groups] == [1] * 3 + [2] * 3 + [10] * 3
    assert not dump.skipped


def test_v1_training_dumps_hold_the_total_and_the_setting_is_named(tmp_path: Path) -> None:
    wanted = rows()
    dump, groups = read(write(tmp_path, wanted, v1))
    check(groups, wanted, ("score",), total=True)
    assert {group.key for group in groups} == {"3f_a_0", "3f_a_1", "3f_a_2"}
    assert any("trainer.validation_data_dir" in sentence for sentence in dump.missing)


def test_v1_validation_dumps_hold_components(tmp_path: Path) -> None:
    wanted = rows()
    dump, groups = read(write(tmp_path, wanted, lambda row: {**v1(row), "reward": row.total, **row.scores}))
    check(groups, wanted)
    assert not any("trainer.validation_data_dir" in sentence for sentence in dump.missing)


def test_the_last_output_of_a_session_is_the_rollout(tmp_path: Path) -> None:
    wanted = rows()
    records = []
    for row in wanted:
        for output in range(2):
            records.append({**v1(row, output=output), "output": row.completion if output else "first turn"})
    dump, groups = read(write_lines(tmp_path / "1.jsonl", records))
    check(groups, wanted, ("score",), total=True)
    assert dump.skipped == {"earlier output of a rollout, of which the last one counts": len(wanted)}


def test_uids_that_do_not_follow_the_rule_are_ids_whole(tmp_path: Path) -> None:
    records = [{"input": "p", "output": "o", "score": 1.0, "step": 0, "uid": uid} for uid in ("a_b_c", "a_b_c", "d")]
    _, groups = read(write_lines(tmp_path / "0.jsonl", records))
    assert [(group.key, len(group.completions)) for group in groups] == [("a_b_c", 2), ("d", 1)]


@pytest.mark.parametrize("written", ["0.5", "np.float64(0.5)", "tensor(0.5, dtype=torch.float32)", [0.5], 0.5])
def test_scalars_as_text(tmp_path: Path, written: Any) -> None:
    records = [{**legacy(row), "right": f"np.float32({row.scores['right']})", "score": written} for row in rows((1,))]
    path = write_lines(tmp_path / "1.jsonl", records)
    if isinstance(written, list):
        with pytest.raises(ValueError, match="'score' is a list: 12"):
            open_dump(path)
        return
    assert open_dump(path).rewards == ("right",)
    _, groups = read(path, rewards=["score", "right"])
    assert {score for group in groups for score in group.scores[:, 0].tolist()} == {0.5}
    assert [score for group in groups for score in group.scores[:, 1].tolist()] == list(range(12))


def test_a_component_that_some_rows_lack_is_not_scored_there(tmp_path: Path) -> None:
    wanted = rows((1, 2))
    folder = write(
        tmp_path, wanted, lambda row: {**legacy(row), **({"right": 1.0} if row.step == 1 else {"late": 2.0})}
    )
    dump, groups = read(folder)
    assert dump.rewards == ("right", "late")  # other files are looked at, too
    assert groups[0].scores[0, 0] == 1.0
    assert "some rows have no 'right' (first at step 2): not scored there" in dump.inferred
