"""What reading a dump costs: seconds and peak memory, for JSON lines and Parquet.

    python benchmarks/read_dump.py                       # 100,000 rollouts
    python benchmarks/read_dump.py --rollouts 1000000

Generated rollouts: groups of 8, 4 rewards, prompts of 200 and completions of 800 characters, as verl
writes them (one file a step, rows of a step in any order) and as TRL does. Each is read by a process
of its own to the last group; memory is that process's peak, less its peak once a small dump is read.
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

G, STEP, REWARDS, SEED = 8, 1024, ("correct", "format", "brief", "polite"), 0

MEASURE = """
import resource, sys, time
from concord.dumps import open_dump

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

for path in sys.argv[1:]:
    before, start = peak(), time.perf_counter()
    dump = open_dump(path)
    rows = sum(len(group.completions) for group in dump)
    seconds = time.perf_counter() - start
    assert len(dump.rewards) == 4 and not dump.skipped and dump.position == dump.size
print(rows, dump.size, seconds, peak() - before)
"""


def batches(count: int) -> list[tuple[int, int]]:
    """The steps and their sizes."""
    return [(step, min(STEP, count - at)) for step, at in enumerate(range(0, count, STEP))]


def rollouts(step: int, size: int, rng: random.Random) -> list[dict[str, object]]:
    """One step's rows, in the order of their prompts."""
    letters = "".join(rng.choices("abcdefgh ijklmnop", k=4000))
    rows: list[dict[str, object]] = []
    for n in range(size):
        at = rng.randrange(3000)
        rows.append(
            {
                "step": step,
                "prompt": f"{step}-{n // G} " + letters[:200],
                "completion": letters[at : at + 800],
                **{name: round(rng.random(), 6) for name in REWARDS},
                "advantage": round(rng.gauss(0, 1), 6),
            }
        )
    return rows


def write_verl(folder: Path, count: int) -> None:
    rng = random.Random(SEED)
    for step, size in batches(count):
        rows = rollouts(step, size, rng)
        rng.shuffle(rows)
        with (folder / f"{step}.jsonl").open("w") as file:
            for row in rows:
                row["input"], row["output"], row["score"] = (
                    row.pop("prompt"),
                    row.pop("completion"),
                    row.pop("advantage"),
                )
                file.write(json.dumps(row) + "\n")


def write_trl(folder: Path, count: int) -> None:
    rng = random.Random(SEED)
    for step, size in batches(count):
        pq.write_table(pa.Table.from_pylist(rollouts(step, size, rng)), folder / f"completions_{step:05d}.parquet")


def measure(write: Callable[[Path, int], None], count: int, folder: Path) -> list[float]:
    """Rows, bytes, seconds, MiB of memory."""
    for name, rows in (("small", 4 * STEP), ("large", count)):
        (folder / name).mkdir()
        write(folder / name, rows)
    command = [sys.executable, "-c", MEASURE, str(folder / "small"), str(folder / "large")]
    return list(map(float, subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rollouts", type=int, default=100_000)
    count = parser.parse_args().rollouts
    print(f"reading {count:,} rollouts x {len(REWARDS)} rewards, groups of {G}, {STEP} a step, seed {SEED}")
    print(f"{platform.machine()}, Python {platform.python_version()}, pyarrow {pa.__version__}, one process")
    for label, write in (("JSON lines (verl)", write_verl), ("Parquet (TRL)", write_trl)):
        with tempfile.TemporaryDirectory() as folder:
            rows, size, seconds, memory = measure(write, count, Path(folder))
        assert rows == count
        print(
            f"  {label:18s} {size / 1e6:8.0f} MB {seconds:8.1f} s {rows / seconds:10,.0f} rollouts/s"
            f" {memory:6.0f} MiB more than 4,096 rollouts need"
        )


if __name__ == "__main__":
    main()
