"""One path: its files, their format, and the rollouts in them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

from concord.core.errors import DumpError
from concord.dumps.containers import records
from concord.dumps.detect import (
    OTHER,
    PROBED_RECORDS,
    choose_format,
    is_known,
    leave_out_twins,
    of_kind,
    shorten,
    sort_files,
)
from concord.dumps.files import find_files, size_of, step_in
from concord.dumps.formats.base import Format, Kind, Malformed, Record, Rollout, digest
from concord.dumps.grouping import LONGEST_KEY
from concord.dumps.meter import Meter
from concord.dumps.values import text

SAMPLE, SAMPLE_ELSEWHERE, FILES_ELSEWHERE = 512, 16, 8
"""Rollouts that are looked at first: of the first file, and of each of some others."""

_BROKEN = (KeyError, TypeError, ValueError, IndexError, AttributeError, RecursionError, OverflowError)


@dataclass
class Source:
    """What lies at one path.

    Attributes:
        path, format: where, and in which format.
        files: those that are read, in order, with their kinds.
        group_by: columns that take the place of the format's own grouping.
        skipped: what was passed over on the way here, by reason.
        numbered: whether a rollout without a step has that of its file's name.
        steps_from_names: whether one had.
        wanted: columns of a Parquet file that are needed beside its numbers; None = all.
        size: bytes of all files.
    """

    path: Path
    format: Format
    files: dict[Path, Kind]
    group_by: tuple[str, ...] | None
    skipped: Counter[str]
    numbered: bool = False
    steps_from_names: bool = False
    wanted: frozenset[str] | None = None
    size: int = field(init=False)

    def __post_init__(self) -> None:
        self.size = sum(map(size_of, self.files))

    @classmethod
    def open(
        cls,
        path: Path,
        columns: Mapping[str, str] | None,
        group_by: Sequence[str] | None,
        rewards: Sequence[str] | None,
    ) -> Source:
        """Find the files and their format: see ``open_dump``.

        Raises:
            DumpError: there is nothing there that can be read.
        """
        skipped: Counter[str] = Counter()
        kinds = sort_files(path, find_files(path, skipped), skipped)
        format = choose_format(path, kinds, columns)
        files = {file: kinds[file] for file in leave_out_twins(path, of_kind(kinds, format, skipped), format, skipped)}
        by = None if group_by is None else tuple(group_by)
        format = replace(format, others=format.others.union(by or ()))
        source = cls(path, format, files, by, skipped, bool(format.step_in) or len(files) > 1)
        if format.declared is None:
            source.wanted = format.others.union(rewards or ())
        return source

    def sample(self) -> tuple[list[Rollout], list[Rollout]]:
        """Some rollouts: the first of the first file that has any, and those with a few from other files.

        Of long values only the beginning is kept.

        Raises:
            DumpError: there are none, or a column of ``group_by`` does not occur.
        """
        reasons: Counter[str] = Counter()
        first: list[Rollout] = []
        files = iter(self.files)
        for file in files:
            if first := self._few(file, SAMPLE, reasons):
                break
        rest = list(files)
        several = list(first)
        for file in rest[:: max(1, len(rest) // FILES_ELSEWHERE)]:
            several += self._few(file, SAMPLE_ELSEWHERE, Counter())
        if not first:
            told = ", ".join(f"{reason}: {count}" for reason, count in (self.skipped + reasons).items())
            raise DumpError(f"{self.path}: no rollouts in {self.format.name} format" + (f"; {told}" if told else ""))
        return first, several

    def _few(self, file: Path, count: int, skipped: Counter[str]) -> list[Rollout]:
        found = []
        for rollout in islice(self.rollouts_in(file, skipped, Meter()), count):
            rollout.values = {name: _shortened(value) for name, value in rollout.values.items()}
            rollout.completion = ""
            rollout.prompt, rollout.group = _brief(rollout.prompt), _brief(rollout.group)
            found.append(rollout)
        return found

    def rollouts_in(self, file: Path, skipped: Counter[str], meter: Meter) -> Iterator[Rollout]:
        """The rollouts of one file; what cannot be read is counted in ``skipped`` when the file ends.

        A file of which none of the first records fits the format is another thing that lies in the
        same folder, and is left out whole.
        """
        reasons: Counter[str] = Counter()
        unfitting, fitted, foreign = 0, False, False
        step = step_in(file.absolute(), in_name=self.format.step_in != "folder") if self.numbered else None
        for record in records(file, self.files[file], reasons, meter, self.wanted):
            fits = record is not None and self.format.fits(record)
            fitted = fitted or fits
            unfitting += not fits
            if not fitted and unfitting == PROBED_RECORDS:
                break
            if record is None:
                continue
            if not fits:
                foreign = foreign or is_known(record)
                reasons[f"record that is not as {shorten(self.format)} writes it: fields are missing"] += 1
                continue
            for rollout in self._rollouts(record, reasons):
                if rollout.step is None and step is not None:
                    rollout.step, self.steps_from_names = step, True
                yield rollout
        if unfitting and not fitted:
            skipped[f"file in another format than {shorten(self.format)}" if foreign else OTHER] += 1
        else:
            skipped.update(reasons)

    def _rollouts(self, record: Record, skipped: Counter[str]) -> Iterator[Rollout]:
        try:
            for rollout in self.format.rollouts(record):
                if isinstance(rollout, str):
                    skipped[rollout] += 1
                    continue
                hash((rollout.group, rollout.run, rollout.session))  # a TypeError now rather than later
                if self.group_by is not None:
                    values = {"step": rollout.step, "prompt": rollout.prompt, "run": rollout.run, **rollout.values}
                    if lacking := [name for name in self.group_by if name not in values]:
                        skipped[f"row without the column {lacking[0]!r} of group_by"] += 1
                        continue
                    rollout.group = tuple(text(values[name]) for name in self.group_by)
                yield rollout
        except Malformed as error:
            skipped[str(error)] += 1
        except _BROKEN as error:
            what = f"no {error}" if isinstance(error, KeyError) else type(error).__name__
            skipped[f"record that is not as {shorten(self.format)} writes it: {what}"] += 1


def _brief(value: Any) -> Any:
    """What tells groups apart, of which a sample need not hold the text."""
    long = isinstance(value, str) and len(value) > LONGEST_KEY
    return digest(value) if long else value


def _shortened(value: Any) -> Any:
    if value is None or isinstance(value, float | int):
        return value
    return value[:100] if isinstance(value, str) else type(value).__name__
