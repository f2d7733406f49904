"""Memory is bounded by a group, not by the file."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

MEASURE = """
import resource, sys
from concord.dumps import open_dump
peaks = []
for path in sys.argv[1:]:
    dump = open_dump(path)
    rows = sum(len(group.completions) for group in dump)
    assert dump.position == dump.size and not dump.skipped
    peaks += [rows, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss]
print(*peaks)
"""
TEXT = "x" * 1000


def write_json(path: Path, count: int, scattered: bool) -> Path:
    with path.open("w") as file:
        for n in range(count):
            group = 2 * (n // 16) + n % 2 if scattered else n // 8
            row = {
                "input": f"p{group} {TEXT}",
                "output": f"{n}{TEXT}",
                "score": 0.5,
                "step": 1,
                "uid": f"{group}_{n}_0",
            }
            file.write(json.dumps(row) + "\n")
    return path


def write_table(path: Path, count: int, scattered: bool) -> Path:
    rng = np.random.default_rng(0)
    letters = rng.integers(97, 123, (count, 1000), np.uint8)  # does not compress
    frame = {
        "step": [1] * count, "prompt": [f"p{n // 8}" for n in range(count)],
        "completion": [row.tobytes().decode() for row in letters], "r": rng.random(count), "advantage": rng.random(count),
    }  # fmt: skip
    pd.DataFrame(frame).to_parquet(path)  # one row group
    return path


@pytest.mark.parametrize(("writer", "scattered"), [(write_json, False), (write_table, False)], ids=["json", "parquet"])
def test_fifty_megabytes_need_no_more_than_two(tmp_path: Path, writer: object, scattered: bool) -> None:
    assert callable(writer)
    small, large = (
        writer(tmp_path / str(count), count, scattered) for count in (1_000, 25_000 * (1 + (writer is write_table)))
    )
    assert large.stat().st_size > 25 * small.stat().st_size > 2**20
    command = [sys.executable, "-c", MEASURE, str(small), str(large)]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    few, before, many, after = map(int, out.split())
    assert many >= 25 * few
    assert after - before < 16 * 1024  # KiB; the files differ by 50 MB
