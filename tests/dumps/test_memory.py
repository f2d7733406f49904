"""Memory is bounded by a group, not by the file."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
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


def write_json(path: Path, count: int) -> Path:
    with path.open("w") as file:
        for n in range(count):
            row = {
                "input": f"p{n // 8} {TEXT}",
                "output": f"{n}{TEXT}",
                "score": 0.5,
                "step": 1,
                "uid": f"{n // 8}_{n}_0",
            }
            file.write(json.dumps(row) + "\n")
    return path


def write_table(path: Path, count: int) -> Path:
    rng = np.random.default_rng(0)
    letters = rng.integers(97, 123, (count, 2000), np.uint8)  # does not compress
    frame = {
        "step": [1] * count,
        "prompt": [f"p{n // 8}" for n in range(count)],
        "completion": [row.tobytes().decode() for row in letters],
        "r": rng.random(count),
        "advantage": rng.random(count),
    }
    pd.DataFrame(frame).to_parquet(path)  # one row group
    return path


@pytest.mark.parametrize("write", [write_json, write_table], ids=["json", "parquet"])
def test_fifty_megabytes_need_no_more_than_two(tmp_path: Path, write: Callable[[Path, int], Path]) -> None:
    small, large = (write(tmp_path / str(count), count) for count in (1_000, 25_000))
    assert large.stat().st_size > 45_000_000
    command = [sys.executable, "-c", MEASURE, str(small), str(large)]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    few, before, many, after = map(int, out.split())
    assert (few, many) == (1_000, 25_000)
    assert after - before < 16 * 1024  # KiB, where the files differ by 50 MB
