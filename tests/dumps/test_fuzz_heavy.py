"""Thousands of mutated lines and files: a DumpError or a count, and never another exception."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from concord.core.errors import DumpError
from concord.dumps import open_dump
from concord.dumps.formats import FORMATS
from tests.dumps import test_nemo, test_others, test_slime, test_swift, test_verifiers, test_verl
from tests.dumps.truth import Row, rows

ROWS = rows((1, 2), groups=2, size=2)
EXAMPLES, LINES = 200, 25
"""1,000 mutated lines of each format."""

SEEDS: dict[str, list[dict[str, Any]]] = {
    "verl": [{**test_verl.v1(row), **row.scores} for row in ROWS],
    "ms-swift": [test_swift.record(ROWS[:4]), test_swift.record(ROWS[4:])],
    "nemo-rl": [test_nemo.train(n, row) for n, row in enumerate(ROWS)],
    "miles": [test_slime.trajectory(row) for row in ROWS],
    "verifiers v0": [test_verifiers.result(row) for row in ROWS],
    "verifiers v1": [test_verifiers.episode(row) for row in ROWS],
    "skyrl": [test_others.skyrl(row) for row in ROWS],
    "open-instruct": [test_others.open_instruct(row) for row in ROWS],
    "areal": [test_others.areal(row) for row in ROWS],
    "roll": [test_others.roll(ROWS[:4]), test_others.roll_table(ROWS[4:], proxy=False)],
    "tinker-cookbook": [test_others.tinker(row) for row in ROWS],
}

JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**400), 10**400),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["", "NaN", "np.float64(1)", "a_b_0", "\x00", "\ud800", "1" * 5000, "{", "[]", "[1]", '"x"', "{}"]),
    st.lists(st.none() | st.integers() | st.text(max_size=3), max_size=3),
    st.dictionaries(st.text(max_size=3), st.none() | st.integers() | st.lists(st.integers(), max_size=2), max_size=3),
)


def test_every_format_of_lines_is_fuzzed() -> None:
    assert set(SEEDS) == {format.name for format in FORMATS if format.kinds == ("JSON lines",)}


def places(value: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every value in a record, itself left out."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inside:
        yield (*above, key)
        yield from places(item, (*above, key))


@st.composite
def mutated(draw: st.DrawFn, seeds: list[dict[str, Any]]) -> bytes:
    """A record with a value or two replaced or taken away, written as a line that may be torn."""
    record = json.loads(json.dumps(draw(st.sampled_from(seeds))))
    for _ in range(draw(st.integers(0, 3))):
        *above, last = draw(st.sampled_from(sorted(places(record), key=repr) or [("input",)]))
        inside = record
        for key in above:
            inside = inside[key]
        if draw(st.booleans()):
            inside[last] = draw(JUNK)
        elif isinstance(inside, dict):
            inside.pop(last, None)
    line = json.dumps(record).encode()
    if draw(st.integers(0, 9)) == 0:
        at = draw(st.integers(0, len(line)))
        line = line[:at] + draw(st.binary(max_size=6)) + line[at + draw(st.integers(0, 6)) :]
    return line.replace(b"\n", b" ") + b"\n"


def survive(path: Path, rollouts: int | None = None) -> None:
    """Read it to the end, if it can be opened; no more rollouts come out than went in."""
    try:
        dump = open_dump(path)
        groups = list(dump)
    except DumpError:
        return
    assert dump.position == dump.size
    "".join((*dump.rewards, *dump.inferred, *dump.missing, *dump.skipped)).encode()
    assert len(dump.skipped) < 20
    assert len({(group.run, group.step, group.key) for group in groups}) == len(groups)
    for group in groups:
        assert group.scores.shape == (len(group.completions), len(dump.rewards))
        assert not np.isinf(group.scores).any()
        "".join((group.run, group.key, group.prompt, *group.completions)).encode()
        assert abs(group.step) < 2**63
        for column in (group.advantages, group.lengths, group.truncated):
            assert column is None or (len(column) == len(group.completions) and not np.isinf(column).any())
        assert group.statuses is None or [len(words) for words in group.statuses] == [len(group.completions)] * len(
            dump.rewards
        )
    found = sum(len(group.completions) for group in groups)
    if rollouts is not None:
        assert found + dump.skipped.total() == rollouts


@pytest.mark.parametrize("name", SEEDS)
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_mutated_lines(tmp_path: Path, name: str, data: st.DataObject) -> None:
    seeds = SEEDS[name]
    lines = [data.draw(mutated(seeds)) for _ in range(LINES)]
    path = tmp_path / "dump"
    path.write_bytes(json.dumps(seeds[0]).encode() + b"\n" + b"".join(lines))
    one_each = name in (
        "verl",
        "miles",
        "skyrl",
        "open-instruct",
        "areal",
        "tinker-cookbook",
        "nemo-rl",
        "verifiers v0",
    )
    survive(path, 1 + len(lines) if one_each else None)
    path.write_bytes(b"".join(lines))
    survive(path)


@settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    data=st.binary(max_size=200),
    head=st.sampled_from([b"", b"{", b'{"input": ', b"PAR1", b"PK\x03\x04", b"a,b\n", b"\xef\xbb\xbf"]),
)
def test_any_bytes(tmp_path: Path, data: bytes, head: bytes) -> None:
    (tmp_path / "file").write_bytes(head + data)
    survive(tmp_path)


@settings(max_examples=1500, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_mutated_tables(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "table"
    content = bytearray(_parquet(tmp_path) if data.draw(st.booleans()) else _saved(tmp_path))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at] = data.draw(st.integers(0, 255))
    path.write_bytes(bytes(content))
    survive(path)


def _parquet(folder: Path) -> bytes:
    path = folder.parent / f"{folder.name}.parquet"
    if not path.exists():
        frame = [
            {"step": r.step, "prompt": r.prompt, "completion": r.completion, **r.scores, "advantage": 0.5} for r in ROWS
        ]
        pd.DataFrame(frame).to_parquet(path)
    return path.read_bytes()


def _saved(folder: Path) -> bytes:
    path = folder.parent / f"{folder.name}.pt"
    if not path.exists():
        torch.save({"rollout_id": 1, "samples": [_sample(row) for row in ROWS]}, path)
    return path.read_bytes()


def _sample(row: Row) -> dict[str, Any]:
    return test_slime.sample(row, row.scores)
