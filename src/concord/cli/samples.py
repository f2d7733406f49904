"""The rows that a reward is checked on: a file's, or those of a run's configuration."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from concord.core.errors import ConfigError, nearest
from concord.dumps.containers import records
from concord.dumps.files import REFUSED, find_files, kind_of
from concord.dumps.formats.base import Kind
from concord.dumps.meter import Meter

if TYPE_CHECKING:
    from concord.run.config import DataConfig

Row = dict[str, Any]

READ: dict[str, Kind] = {"JSON lines": "JSON lines", "CSV": "CSV", "Parquet": "Parquet"}
"""What rows are read from, beside a file that holds one JSON array."""


@dataclass(frozen=True)
class Rows:
    """The rows that were asked for.

    Attributes:
        path: a file, or a folder of files; None = none was given.
        columns: what its columns are, ours: theirs; dots go into nested ones.
        size: how many at most, the first ones.

    Raises:
        ConfigError: columns of no file.
    """

    path: Path | None
    columns: Mapping[str, str]
    size: int

    def __post_init__(self) -> None:
        if self.columns and self.path is None:
            raise ConfigError("--columns says what the columns of --data are; give it too")

    def read(self, usual: Mapping[str, str | None] | None = None) -> tuple[list[Row], list[str]]:
        """The rows with their columns named, and what was passed over, a sentence each.

        What a file is, its content says: JSON lines, one JSON array, CSV or Parquet.

        Args:
            usual: further columns, ours: theirs, where the rows have them.

        Raises:
            ConfigError: no rows, or no such column.
            DumpError: there is nothing at the path.
            MissingExtra: a Parquet file needs pyarrow, which is not installed.
        """
        assert self.path is not None
        skipped: Counter[str] = Counter()
        files = find_files(self.path, skipped)
        found = itertools.chain.from_iterable(_rows(file, skipped) for file in files)
        rows = list(itertools.islice(found, self.size))
        told = [f"passed over {count}: {reason}" for reason, count in skipped.items() if count]
        if not rows:
            known = "no rows in JSON lines, JSON, CSV or Parquet"
            raise ConfigError("; ".join([f"--data {self.path}: {known}", *told]))
        there = {ours: theirs for ours, theirs in (usual or {}).items() if theirs and _has(rows, theirs)}
        return named(rows, {**there, **self.columns}), told


def configured_rows(data: DataConfig, size: int, seed: int) -> list[Row]:
    """The first rows that a run trains on, whatever the length of their prompts.

    Raises:
        ConfigError: they cannot be read; or as :func:`concord.run.data.load_rows`.
    """
    from concord.run.data import load_rows
    from concord.run.paths import BUILTIN

    # A built-in task makes as many as asked for; of other data there may be fewer.
    wanted = size if data.path.startswith(BUILTIN) else None
    try:
        rows = load_rows(data.model_copy(update={"max_prompt_tokens": None, "size": wanted}), seed=seed)
    except ConfigError as error:
        raise ConfigError(f"{error}; rows to check with can be given with --data") from error
    return list(rows.select(range(min(size, len(rows)))))


def named(rows: list[Row], columns: Mapping[str, str]) -> list[Row]:
    """The rows, with the columns of ``columns`` (ours: theirs, dots go into nested ones) under our names.

    Raises:
        ConfigError: a column that no row has; names the nearest.

    Example:
        >>> named([{"q": "2 + 2?", "reward_model": {"truth": "4"}}], {"prompt": "q", "answer": "reward_model.truth"})
        [{'reward_model': {'truth': '4'}, 'prompt': '2 + 2?', 'answer': '4'}]
    """
    for theirs in columns.values():
        if not _has(rows, theirs):
            known = list(dict.fromkeys(name for row in rows for name in row))
            raise ConfigError(f"--columns: no column {theirs!r}{nearest(theirs, known)}; there are {', '.join(known)}")
    return [
        {name: value for name, value in row.items() if name not in columns.values()}
        | {ours: _value(row, theirs) for ours, theirs in columns.items()}
        for row in rows
    ]


def _has(rows: list[Row], column: str) -> bool:
    return any(_value(row, column) is not None for row in rows)


def _value(row: Row, column: str) -> Any:
    if column in row:
        return row[column]
    value: Any = row
    for part in column.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _rows(file: Path, skipped: Counter[str]) -> Iterator[Row]:
    kind = kind_of(file)
    if kind == "unknown" and file.suffix == ".csv":  # of one column, and so without a comma to know it by
        kind = "CSV"
    if kind == "array":
        yield from _array(file, skipped)
    elif kind in READ:
        yield from (row for row in records(file, READ[kind], skipped, Meter()) if row is not None)
    else:
        skipped[f"{file.name} is {REFUSED.get(kind, kind)}"] += 1


def _array(file: Path, skipped: Counter[str]) -> Iterator[Row]:
    try:
        entries = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        skipped[f"{file.name}, which cannot be read as JSON ({error})"] += 1
        return
    for entry in entries:
        if isinstance(entry, dict):
            yield entry
        else:
            skipped["entry that is no JSON object"] += 1
