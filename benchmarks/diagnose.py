"""What it costs to diagnose a dump: time, and memory that does not grow with it.

    python benchmarks/diagnose.py [rollouts, default 200000]

Writes a dump of that many rollouts and one of a quarter of them, as JSON lines with 4 rewards and
groups of 8, and reads and analyses each in a process of its own, on one thread.
"""

from __future__ import annotations

import json
import multiprocessing
import platform
import random
import resource
import sys
import tempfile
import time
from pathlib import Path

G, PROMPTS, SEED = 8, 64, 0
"""Rollouts of a group, groups of a step."""

REWARDS = ("correctness", "format", "brevity", "style")
WORDS = ["the", "answer", "follows", "from", "adding", "both", "sides", "and", "taking", "a", "root"]


def write(path: Path, rollouts: int) -> None:
    """Correctness is 0 or 1, format is mostly 1, brevity pulls against correctness, style is noise."""
    draw = random.Random(SEED)
    texts = [" ".join(draw.choices(WORDS, k=draw.randint(20, 120))) for _ in range(256)]
    with path.open("w") as file:
        for n in range(rollouts):
            group = n // G
            right = float(draw.random() < 0.5)
            row = {
                "step": group // PROMPTS,
                "prompt": f"Problem {group}: what is {group % 97} times {group % 89}?",
                "completion": draw.choice(texts),
                "correctness": right,
                "format": float(draw.random() < 0.9),
                "brevity": draw.gauss(-right, 1.0),
                "style": draw.random(),
            }
            file.write(json.dumps(row) + "\n")


def diagnose(path: Path) -> tuple[int, float, float, float]:
    """Rollouts, seconds, MiB in use before the dump is opened, and at most."""
    import torch

    from concord.dumps.read import open_dump
    from concord.report import analyse

    torch.set_num_threads(1)
    before = peak()
    start = time.perf_counter()
    analysis = analyse(open_dump([path], rewards=REWARDS))
    return analysis.rollouts, time.perf_counter() - start, before, peak()


def peak() -> float:
    """MiB, the largest the process has been."""
    unit = 2**20 if platform.system() == "Darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def main() -> None:
    rollouts = int(sys.argv[1]) if len(sys.argv) > 1 else 200_000
    processes = multiprocessing.get_context("spawn")
    print(f"{len(REWARDS)} rewards, groups of {G}, {PROMPTS} groups a step; {platform.machine()}, one thread")
    with tempfile.TemporaryDirectory() as folder:
        for count in (rollouts // 4 // G * G, rollouts // G * G):
            path = Path(folder) / f"{count}.jsonl"
            write(path, count)
            with processes.Pool(1) as pool:  # its own process, so that its peak is its own
                found, seconds, before, most = pool.apply(diagnose, (path,))
            print(
                f"  {found:10,d} rollouts  {path.stat().st_size / 2**20:8.1f} MiB  {seconds:7.1f} s  "
                f"{found / seconds:8,.0f} a second  peak {most:6.0f} MiB, {most - before:5.0f} above the start"
            )


if __name__ == "__main__":
    main()
