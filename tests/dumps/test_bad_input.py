"""Whatever lies in a folder: a clear message or a count, what is good is read, and nothing is run."""

from __future__ import annotations

import gzip
import json
import os
import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from concord.core.errors import DumpError
from concord.dumps import lines, open_dump
from tests.dumps.test_trl import write_table
from tests.dumps.test_verl import legacy, write
from tests.dumps.truth import check, read, rows, write_lines


def verl(folder: Path, steps: tuple[int, ...] = (1, 2)) -> Path:
    return write(folder, rows(steps), legacy)


def append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


GOOD = json.dumps({"input": "p", "output": "o", "score": 1.0, "step": 2}).encode() + b"\n"

LINES: dict[str, tuple[bytes, str]] = {
    "truncated": (b'{"input": "p", "output": "o", "sco', "truncated last line"),
    "not JSON": (b"Traceback (most recent call last):\n", "line that is not JSON"),
    "no object": (b"[1, 2]\n", "line that is no JSON object"),
    "not UTF-8": (b'{"input": "\xff\xfe", "output": "o", "score": 1}\n', "line that is not UTF-8"),
    "nested": (b'{"a": ' * 100_000 + b"\n", "line nested too deeply"),
    "endless integer": (b'{"input": "p", "output": "o", "score": ' + b"9" * 5000 + b"}\n", "line that is not JSON"),
    "binary": (bytes(range(128, 256)) + b"\n", "line that is not UTF-8"),
    "NULs, as after a crash": (b"\x00" * 64 + b"\n", "line that is not JSON"),
    "another schema": (b'{"loss": 0.1}\n', "record that is not as verl writes it: fields are missing"),
    "a list for a score": (b'{"input": "p", "output": "o", "score": [1, 2]}\n', "'score' is a list"),
}


@pytest.mark.parametrize(("line", "reason"), LINES.values(), ids=LINES)
def test_a_bad_line_is_counted_and_the_others_are_read(tmp_path: Path, line: bytes, reason: str) -> None:
    path = verl(tmp_path) / "2.jsonl"
    append(path, line)
    dump, groups = read(tmp_path)
    check(groups, rows((1, 2)), ("score",), total=True)
    assert dump.skipped == {reason: 1}
    assert dump.position == dump.size == sum(file.stat().st_size for file in tmp_path.iterdir())
    if reason != "truncated last line":
        append(path, GOOD)
        assert len(read(tmp_path)[1]) == 7


def test_a_line_without_end_does_not_fill_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "LONGEST_LINE", 2**20)
    path = verl(tmp_path) / "2.jsonl"
    append(path, b"x" * 2**22 + b"\n" + GOOD)
    dump, groups = read(tmp_path)
    assert dump.skipped == {"line longer than 1 MiB": 1}
    assert len(groups) == 7


def test_byte_order_mark_and_windows_line_ends(tmp_path: Path) -> None:
    for file in verl(tmp_path).iterdir():
        file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes().replace(b"\n", b"\r\n") + b"\r\n\r\n")
    dump, groups = read(tmp_path)
    check(groups, rows((1, 2)), ("score",), total=True)
    assert not dump.skipped


@pytest.mark.parametrize(
    ("literal", "status"),
    [
        ("NaN", None), ("null", None), ("Infinity", "invalid"), ("-Infinity", "invalid"), ("1e999", "invalid"),
        ("1" + "0" * 400, "invalid"), ('"n/a"', "invalid"), ("{}", "invalid"), ("true", "scored"), ('"0.5"', "scored"),
    ],
)  # fmt: skip
def test_scores_that_are_no_number(tmp_path: Path, literal: str, status: str | None) -> None:
    good = [f'{{"input": "p", "output": "o", "score": {n}.0, "step": 1}}' for n in range(1, 12)]
    bad = f'{{"input": "p", "output": "o", "score": {literal}, "step": 1}}'
    (tmp_path / "1.jsonl").write_text("\n".join([*good, bad]))
    dump, [group] = read(tmp_path)
    assert group.scores[:11, 0].tolist() == list(range(1, 12))
    assert np.isnan(group.scores[11, 0]) == (status != "scored")
    statuses = None if status in (None, "scored") else [["scored"] * 11 + [status]]
    assert group.statuses == statuses
    assert not dump.skipped


def test_all_scores_missing(tmp_path: Path) -> None:
    frame = {
        "step": [1] * 4,
        "prompt": ["p"] * 4,
        "completion": list("abcd"),
        "r": [np.nan] * 4,
        "advantage": [0.0] * 4,
    }
    pd.DataFrame(frame).to_parquet(tmp_path / "t")
    dump, [group] = read(tmp_path)
    assert dump.rewards == ("r",)
    assert np.isnan(group.scores).all()


def test_groups_of_one_everywhere(tmp_path: Path) -> None:
    records = [{"input": f"p{n}", "output": "o", "score": 1.0, "step": 1} for n in range(8)]
    dump, groups = read(write_lines(tmp_path / "1.jsonl", records))
    assert [len(group.completions) for group in groups] == [1] * 8
    assert any("every group has one row" in sentence and "--group-by" in sentence for sentence in dump.inferred)


def test_odd_groups_are_counted(tmp_path: Path) -> None:
    wanted = [row for row in rows((1,), groups=5) if (row.group, row.index) not in {(1, 0), (3, 2), (3, 3)}]
    dump, groups = read(write(tmp_path, wanted, legacy))
    assert sorted(len(group.completions) for group in groups) == [2, 3, 4, 4, 4]
    assert "2 of 5 groups have other than 4 rows" in dump.inferred


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(DumpError, match="an empty folder"):
        open_dump(tmp_path)
    with pytest.raises(DumpError, match="no such file or folder"):
        open_dump(tmp_path / "nowhere")
    with pytest.raises(DumpError, match="a path cannot be opened"):
        open_dump("a\x00b")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DumpError, match="neither a file nor a folder"):
        open_dump(tmp_path / "pipe")
    with pytest.raises(DumpError, match="an empty folder"):
        open_dump(tmp_path)


FILES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "empty"),
    "blank": (b"\n\n", "empty"),
    "gzip": (gzip.compress(GOOD), "unpack it first"),
    "array": (b"[" + GOOD.strip() + b"]", "one object a line"),
    "UTF-16": (GOOD.decode().encode("utf-16"), "save it as UTF-8"),
    "junk": (bytes(range(1, 256)), "neither JSON lines, CSV, Parquet nor a PyTorch file"),
    "prose": (b"Once upon a time\nthere was a dump\n", "neither JSON lines"),
    "half a table": (b"PAR1" + b"\x15" * 400, "the footer is missing"),
    "no table": (b"PAR1" + b"\x15" * 400 + b"PAR1", "Parquet file that cannot be read: 1"),
    "a broken archive": (b"PK\x03\x04" + b"\x00" * 400, "PyTorch file that cannot be read: 1"),
    "pickle": (pickle.dumps({"samples": []}), "reading one runs whatever code is in it"),
    "old torch.save": (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.", "reading one runs whatever code is in it"),
}  # fmt: skip


@pytest.mark.parametrize(("data", "message"), FILES.values(), ids=FILES)
@pytest.mark.parametrize("name", ["1.jsonl", "completions_00001.parquet", "1.pt"])
def test_a_file_that_is_no_dump_under_any_name(tmp_path: Path, data: bytes, message: str, name: str) -> None:
    (tmp_path / name).write_bytes(data)
    for path in (tmp_path, tmp_path / name):
        with pytest.raises(DumpError, match=message) as caught:
            open_dump(path)
        assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize("data", [data for data, _ in FILES.values()], ids=FILES)
def test_beside_a_dump_it_is_counted(tmp_path: Path, data: bytes) -> None:
    harmless = [FILES[name][0] for name in ("empty", "blank", "prose", "junk")]
    (verl(tmp_path) / "0").write_bytes(data)
    dump, groups = read(tmp_path)
    check(groups, rows((1, 2)), ("score",), total=True)
    told = {
        "other files in the folder, which hold no rollouts: 1": data in harmless,
        "PyTorch files in the folder, not opened: 1": data == FILES["a broken archive"][0],
    }
    assert {sentence: sentence in dump.inferred for sentence in told} == told
    assert dump.skipped.total() == 1 - any(told.values())
    assert dump.position == dump.size


class Bomb:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> Any:
        return Path.touch, (self.target,)


@pytest.mark.parametrize("name", ["1.pt", "1.jsonl", "completions.parquet", "table.csv"])
@pytest.mark.parametrize("form", ["pickle", "text pickle", "torch", "old torch"])
def test_no_pickle_is_run_under_any_name(tmp_path: Path, name: str, form: str) -> None:
    target = tmp_path / "ran"
    payload = {"rollout_id": 1, "samples": [Bomb(target)]}
    path = tmp_path / "dump" / name
    path.parent.mkdir()
    if form == "pickle":
        path.write_bytes(pickle.dumps(payload))
    elif form == "text pickle":
        path.write_bytes(pickle.dumps(payload, protocol=0))
    else:
        torch.save(payload, path, _use_new_zipfile_serialization=form == "torch")
    for place in (path, path.parent):
        with pytest.raises(DumpError):
            open_dump(place)
    assert not target.exists()
    pickle.loads(pickle.dumps(Bomb(target)))  # the bomb is live
    assert target.exists()


def test_a_torchscript_archive_is_refused(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is deprecated; old files of it are not
        torch.jit.save(torch.jit.script(torch.nn.Linear(1, 1)), tmp_path / "model.pt")
    with pytest.raises(DumpError, match="no rollouts found"):
        open_dump(tmp_path)


def test_a_half_written_table_among_whole_ones(tmp_path: Path) -> None:
    folder = write_table(tmp_path, rows())
    whole = (folder / "completions_00010.parquet").read_bytes()
    (folder / "completions_00010.parquet").write_bytes(whole[: len(whole) // 2])
    dump, groups = read(folder)
    check(groups, rows((1, 2)), advantages=True)
    assert dump.skipped == {"file that is a half-written Parquet file": 1}


def test_a_damaged_table_gives_what_can_be_read(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "step": [1] * 4000, "prompt": [f"prompt {n // 4}" for n in range(4000)],
            "completion": [f"answer {n} " * 20 for n in range(4000)], "r": np.arange(4000) / 7.0,
            "advantage": np.zeros(4000),
        }
    )  # fmt: skip
    path = tmp_path / "t.parquet"
    frame.to_parquet(path, row_group_size=1000)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 2000] = b"\xff" * 2000
    path.write_bytes(bytes(data))
    dump, groups = read(path)
    found = sum(len(group.completions) for group in groups)
    assert found >= 1000  # the first row group is whole
    assert found + dump.skipped["row of a Parquet file that is damaged"] == 4000
    assert dump.skipped.total() > 0


def test_the_format_of_most_files_is_read_and_the_others_are_counted(tmp_path: Path) -> None:
    verl(tmp_path, (1, 2, 10))
    write_table(tmp_path / "completions", rows((1, 2)))
    write_lines(
        tmp_path / "trajectory" / "3.jsonl", [{"sample_index": 0, "group_index": 0, "reward": 1, "messages": []}]
    )
    dump, groups = read(tmp_path)
    check(groups, rows(), ("score",), total=True)
    assert dump.skipped == {
        "file in another format than verl": 3,
    }
    (tmp_path / "notes.txt").write_text("no rollouts")
    assert "other files in the folder, which hold no rollouts: 1" in read(tmp_path)[0].inferred


def test_files_of_a_model_beside_a_dump_are_no_lines_of_it(tmp_path: Path) -> None:
    (verl(tmp_path) / "checkpoint").mkdir()
    (tmp_path / "checkpoint" / "tokenizer.json").write_text(json.dumps({str(n): n for n in range(999)}, indent=1))
    dump, groups = read(tmp_path)
    check(groups, rows((1, 2)), ("score",), total=True)
    assert not dump.skipped
    assert "other files in the folder, which hold no rollouts: 1" in dump.inferred


def test_links_are_not_followed(tmp_path: Path) -> None:
    folder = verl(tmp_path / "run")
    secret = verl(tmp_path / "secret", (10,))
    (folder / "3.jsonl").symlink_to(secret / "10.jsonl")
    (folder / "away").symlink_to(secret, target_is_directory=True)
    (folder / "around").symlink_to(folder, target_is_directory=True)
    (folder / "latest.jsonl").symlink_to(folder / "2.jsonl")
    (folder / "broken").symlink_to(tmp_path / "nowhere")
    (folder / ".partial").write_bytes(GOOD)
    dump, groups = read(folder)
    check(groups, rows((1, 2)), ("score",), total=True)
    assert dump.skipped == {
        "symbolic link that leaves the folder": 3,
        "symbolic link that stays in the folder": 2,
        "hidden file or folder": 1,
    }
    (tmp_path / "link").symlink_to(folder)
    assert len(read(tmp_path / "link")[1]) == 6  # what the user names is followed


def test_a_file_that_goes_away_while_being_read(tmp_path: Path) -> None:
    dump = open_dump(verl(tmp_path))
    (tmp_path / "2.jsonl").unlink()
    assert len(list(dump)) == 3
    assert dump.skipped == {"file that could not be read to its end": 1}


CSV = "prompt,right\np,1\n"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (CSV + "p,1,2\n", "CSV row with another number of fields than the header"),
        (CSV + "p\n", "CSV row with another number of fields than the header"),
        (CSV + '"p' + "x" * 3000 + "\n", "CSV row that cannot be read"),
    ],
)
def test_csv_rows_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, reason: str) -> None:
    monkeypatch.setattr(lines, "LONGEST_FIELD", 1000)
    (tmp_path / "t").write_text(text)
    dump, [group] = read(tmp_path)
    assert group.scores.tolist() == [[1.0]]
    assert dump.skipped == {reason: 1}


def test_csv_texts_may_hold_quotes_lines_and_more_than_the_csv_module_allows(tmp_path: Path) -> None:
    long = 'a, "b"\r\nc' * 50_000
    pd.DataFrame({"prompt": ["p"] * 2, "completion": [long, "="], "right": [1, 2]}).to_csv(tmp_path / "t", index=False)
    _, [group] = read(tmp_path)
    assert group.completions == [long, "="]
    (tmp_path / "t").write_text("prompt,prompt,right\np,p,1\n")
    with pytest.raises(DumpError, match="CSV file with two columns of one name"):
        open_dump(tmp_path)


def test_texts_that_no_file_can_hold(tmp_path: Path) -> None:
    (tmp_path / "1").write_bytes(b'{"input": "\\ud800", "output": "a\\udfffb\\u0000", "score": 1, "step": 1}\n')
    _, [group] = read(tmp_path)
    assert group.prompt == "?"
    assert group.completions == ["a?b\x00"]
