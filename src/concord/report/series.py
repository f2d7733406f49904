"""The course of a run, in bounded memory."""

from __future__ import annotations

from concord.report.sums import StepSums

LIMIT = 256
"""Points that are held; with more steps than that, neighbouring ones share a point."""

RUNS = 16
"""Runs that are told apart; with more of them, all are pooled."""

Key = tuple[str, int]
Entry = tuple[int, int, StepSums]
"""First step, last step, sums."""


class Series:
    """Sums by run and step.

    A point covers the steps ``[i * width, (i + 1) * width)``; the width doubles until the points fit.
    Sums add up, so nothing is lost but resolution, and the order of the steps does not matter.
    """

    def __init__(self) -> None:
        self.width = 1
        self.runs: dict[str, None] = {}  # in order of appearance
        self._entries: dict[Key, Entry] = {}

    def add(self, run: str, step: int, sums: StepSums) -> None:
        """Enter one step."""
        self.runs.setdefault(run)
        self._put(self._entries, run, (step, step, sums))
        while len(self._entries) > LIMIT or (len(self.runs) > RUNS and any(run for run, _ in self._entries)):
            self._coarsen()

    def entries(self) -> list[tuple[str, Entry]]:
        """By run, then step."""
        return [(run, self._entries[run, place]) for run, place in sorted(self._entries)]

    def pooled(self) -> list[Entry]:
        """By step, the runs added up."""
        places: dict[Key, Entry] = {}
        for (_, place), (first, last, sums) in self._entries.items():
            _merge(places, ("", place), (first, last, sums))
        return [places[key] for key in sorted(places)]

    def _put(self, entries: dict[Key, Entry], run: str, entry: Entry) -> None:
        name = run if len(self.runs) <= RUNS else ""
        _merge(entries, (name, entry[0] // self.width), entry)

    def _coarsen(self) -> None:
        if len(self._entries) > LIMIT:
            self.width *= 2
        merged: dict[Key, Entry] = {}
        for (run, _), entry in self._entries.items():
            self._put(merged, run, entry)
        self._entries = merged


def _merge(entries: dict[Key, Entry], key: Key, entry: Entry) -> None:
    if key in entries:
        first, last, sums = entries[key]
        entry = min(first, entry[0]), max(last, entry[1]), sums + entry[2]
    entries[key] = entry
