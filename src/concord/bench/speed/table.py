"""Timing in turn, and a table of it."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class SpeedTable:
    """Programs side by side.

    Attributes:
        title: what was done, with its sizes and seed.
        columns: heads of the columns after the program's name.
        rows: by program.
        note: what else was seen, such as how far the results lie apart.
    """

    title: str
    columns: tuple[str, ...]
    rows: Mapping[str, tuple[str, ...]]
    note: str = ""


def in_turn(programs: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each round of each program; a first round, which warms up, is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in programs}
    for number in range(rounds + 1):
        for name, program in programs.items():
            start = time.perf_counter()
            program()
            if number:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def medians(seconds: Mapping[str, list[float]]) -> dict[str, float]:
    """By program."""
    return {name: statistics.median(values) for name, values in seconds.items()}
