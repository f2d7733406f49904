"""Small files that unfold to far more than they hold: read in bounded memory and time, and what is left out is said."""

from __future__ import annotations

import io
import json
import struct
import tracemalloc
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from concord.core.errors import DumpError
from concord.dumps import open_dump
from concord.dumps.formats import base
from concord.dumps.formats.base import Malformed, explode
from concord.dumps.meter import LEAST, PER_BYTE, VALUE, Allowance
from concord.dumps.tables import LARGE, PACKED
from concord.dumps.writer import METADATA_KEY

MIB = 2**20


def table(prompts: Any, count: int) -> pa.Table:
    columns = {
        "group": [n // 4 for n in range(count)],
        "completion": ["o"] * count,
        "r": [n % 3 / 2 for n in range(count)],
    }
    return pa.table({"prompt": prompts, "step": [1] * count, **columns})


def sample(number: int, **other: Any) -> dict[str, Any]:
    shared = {"prompt": "p", "response": f"o{number}", "reward": number % 3 / 2, "status": "completed"}
    return {"group_index": 0, "index": number, "response_length": 3, **shared, **other}


def test_an_allowance_is_in_proportion_and_has_a_least() -> None:
    assert Allowance(0).spend(0, LEAST)
    assert not Allowance(0).spend(0, LEAST + 1)
    size = 2 * LEAST // PER_BYTE
    assert Allowance(size).spend(2, 2 * LEAST - 2 * VALUE)
    assert not Allowance(size).spend(2, 2 * LEAST - 2 * VALUE + 1)


def test_a_text_that_many_rows_share_is_not_unfolded_for_all_of_them(tmp_path: Path) -> None:
    count, path = 512, tmp_path / "rows.parquet"
    one = pa.DictionaryArray.from_arrays(pa.array([0] * count, pa.int32()), ["é" + "a" * (3 * MIB)])
    pq.write_table(table(one, count), path, compression="zstd", dictionary_pagesize_limit=2**30)
    assert path.stat().st_size < 10_000  # for 1.5 GiB of text
    before = pa.total_allocated_bytes()
    tracemalloc.start()
    dump = open_dump(path)
    found = sum(len(group.completions) for group in dump)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak + pa.total_allocated_bytes() - before < 700 * MIB
    (reason,) = dump.skipped
    assert "a byte of a file may stand for" in reason
    assert found + dump.skipped.total() == count
    assert found > 0


def test_a_column_that_compresses_to_nothing_is_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    long = ["a" * (LARGE // 16) + str(n) for n in range(17)]
    writer = pq.ParquetWriter(path, table(long, 17).schema, compression="zstd", use_dictionary=False)
    writer.write_table(table(long, 17))
    writer.write_table(table(["p"] * 8, 8))
    writer.close()
    dump = open_dump(path)
    assert sum(len(group.completions) for group in dump) == 8  # of the row group that is sound
    assert dump.skipped == {PACKED: 17}


def test_metadata_and_cells_nested_beyond_what_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    made = table(["p"] * 8, 8).replace_schema_metadata({METADATA_KEY: b"[" * 100_000})
    pq.write_table(made, path)
    assert len(list(open_dump(path))) == 2
    roll = {"global_step": [1], "trajectory_data": ["[" * 100_000], "messages": ["[" * 100_000]}
    (tmp_path / "roll.jsonl").write_text(json.dumps(roll) + "\n")
    with pytest.raises(DumpError, match="no rollouts in roll format; record that is not as roll writes it"):
        open_dump(tmp_path / "roll.jsonl")


def test_a_saved_file_that_is_compressed_is_refused(tmp_path: Path) -> None:
    plain, path = io.BytesIO(), tmp_path / "d.pt"
    torch.save({"rollout_id": 1, "samples": [sample(n, response="a" * MIB) for n in range(4)]}, plain)
    with zipfile.ZipFile(plain) as sound, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name in sound.namelist():
            packed.writestr(name, sound.read(name))
    with pytest.raises(DumpError, match="PyTorch file that unpacks to more than it holds: 1"):
        open_dump(path)
    path.write_bytes(plain.getvalue())
    assert len(list(open_dump(path))) == 1


def test_a_saved_file_that_asks_for_empty_memory_is_refused_before_it_gets_it(tmp_path: Path) -> None:
    asks = b"cbuiltins\nbytearray\nJ" + struct.pack("<i", 2**31 - 1) + b"\x85R"
    body = b"\x80\x02}(X\x07\x00\x00\x00samples]X\x01\x00\x00\x00x" + asks + b"u."
    archive = io.BytesIO()
    torch.save({}, archive)
    path = tmp_path / "d.pt"
    with zipfile.ZipFile(archive) as sound, zipfile.ZipFile(path, "w") as made:
        for name in sound.namelist():
            made.writestr(name, body if name.endswith("data.pkl") else sound.read(name))
    with pytest.raises(DumpError, match="unpacks to more than it holds"):
        open_dump(path)


def test_one_object_in_many_places_is_counted_in_each(tmp_path: Path) -> None:
    nested: Any = ["lol"]
    for _ in range(40):
        nested = [nested, nested]  # 2^40 texts in some hundred bytes
    torch.save(
        {"rollout_id": 1, "samples": [sample(0), sample(1), sample(2, prompt=nested), sample(3)]}, tmp_path / "d.pt"
    )
    dump = open_dump(tmp_path / "d.pt")
    assert sum(len(group.completions) for group in dump) == 2
    assert dump.skipped.total() == 2


@pytest.mark.parametrize(
    ("field", "value", "rollouts"),
    [
        ("reward", torch.tensor(0.5), 4),
        ("reward", torch.tensor([0.5]), 4),
        ("reward", {"a": torch.tensor(0.5, dtype=torch.bfloat16)}, 4),
        ("group_index", torch.tensor([1, 2]), 4),
        ("group_index", torch.tensor(3), 4),
        ("rollout_id", torch.tensor([1, 2]), 1),  # the samples are outputs of one rollout
        ("remove_sample", torch.tensor([True, False]), 4),
        ("status", torch.tensor(1), 4),
        ("response", torch.zeros(1).expand(10**9), 4),
        ("reward", torch.empty(1, device="meta"), 4),
        ("reward", torch.tensor([0.0, 1.0]).to_sparse(), 4),
        ("prompt", {torch.tensor(1): ("a", {1, 2})}, 4),
    ],
)  # fmt: skip
def test_tensors_for_scalars(tmp_path: Path, field: str, value: Any, rollouts: int) -> None:
    sound = [sample(n) for n in range(4)]
    torch.save(
        {"rollout_id": 1, "samples": [*sound, *(sample(n, **{field: value}) for n in range(4))]}, tmp_path / "d.pt"
    )
    try:
        dump = open_dump(tmp_path / "d.pt", rewards=["reward"])
    except DumpError as error:
        pytest.fail(str(error))
    assert sum(len(group.completions) for group in dump) + dump.skipped.total() == 8
    last = {"remove_sample": "keep"}.get(field)
    assert last is None or all(group.keep is None for group in dump)


def test_a_tensor_that_is_the_step(tmp_path: Path) -> None:
    torch.save({"rollout_id": torch.tensor(7), "samples": [sample(n) for n in range(4)]}, tmp_path / "d.pt")
    assert [group.step for group in open_dump(tmp_path / "d.pt")] == [7]
    torch.save({"rollout_id": torch.tensor([7, 8]), "samples": [sample(n) for n in range(4)]}, tmp_path / "d.pt")
    with pytest.raises(DumpError, match="a step that is no whole number: 4"):
        open_dump(tmp_path / "d.pt")


def test_links_that_lead_to_themselves_or_nowhere(tmp_path: Path) -> None:
    folder = tmp_path / "d"
    folder.mkdir()
    lines = [{"input": f"p{n // 4}", "output": "o", "score": n % 3 / 2, "step": 1} for n in range(8)]
    (folder / "1.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "loop").symlink_to("loop")
    (folder / "a").symlink_to("b")
    (folder / "b").symlink_to("a")
    (folder / "gone").symlink_to("/nowhere/at/all")
    dump = open_dump(folder)
    assert sum(len(group.completions) for group in dump) == 8
    assert dump.skipped == {
        "symbolic link that stays in the folder": 3,
        "symbolic link that leaves the folder": 1,
    }
    with pytest.raises(DumpError, match="a symbolic link that leads nowhere"):
        open_dump(folder / "loop")


def test_forty_thousand_sessions_of_one_prompt_are_looked_up_not_searched(tmp_path: Path) -> None:
    """Were each compared with all before it, this would take minutes: 800 million comparisons."""
    with (tmp_path / "d.jsonl").open("w") as file:
        for n in range(40_000):
            file.write(
                json.dumps({"input": "p", "output": "o", "score": n % 3, "step": 1, "uid": f"0_{n // 2}_{n}"}) + "\n"
            )
    dump = open_dump(tmp_path / "d.jsonl")
    assert [len(group.completions) for group in dump] == [20_000]
    assert dump.skipped == Counter({"earlier output of a rollout, of which the last one counts": 20_000})


def test_a_table_of_lists_has_a_most_of_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "MOST_CELLS", 12)
    record = {"rows": [1, 2, 3], "a": 0, "b": 0, "c": 0}
    assert len(list(explode(record, "rows"))) == 3
    with pytest.raises(Malformed, match="more than 12 cells"):
        list(explode({**record, "d": 0}, "rows"))
