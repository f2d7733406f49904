"""Which format the files of a path are in, by what is in them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

from concord.core.errors import DumpError
from concord.dumps.containers import KINDS, records
from concord.dumps.files import REFUSED, is_evaluation, kind_of, size_of
from concord.dumps.formats import FORMATS
from concord.dumps.formats.base import Format, Kind, Record
from concord.dumps.formats.plain import guess, plain
from concord.dumps.meter import Meter
from concord.dumps.values import text

PROBED_RECORDS = 64
PROBED_FILES = 512
PROBED_BYTES = 2**26

OTHER, UNOPENED = "other files in the folder, which hold no rollouts", "PyTorch files in the folder, not opened"
"""Counted under these names on the way; in the end told among what was inferred, for nothing was lost."""


def sort_files(path: Path, files: Sequence[Path], skipped: Counter[str]) -> dict[Path, Kind]:
    """Those that may hold rollouts, with their kinds; the others are counted.

    Raises:
        DumpError: none may; the message says what they are.
    """
    kinds: dict[Path, Kind] = {}
    refused: Counter[str] = Counter()
    for file in files:
        found = kind_of(file)
        if found in KINDS:
            kinds[file] = found
        else:
            refused[found] += 1
    if kinds:
        for kind, count in refused.items():
            skipped[OTHER if kind in ("unknown", "empty") else "file that is " + REFUSED[kind].split(":")[0]] += count
        return kinds
    if not files:
        raise DumpError(f"{path}: an empty folder")
    if len(files) == 1:
        raise DumpError(f"{files[0]}: {REFUSED[next(iter(refused))]}")
    held = "; ".join(f"{count} are {REFUSED[kind]}" for kind, count in refused.most_common())
    raise DumpError(f"{path}: none of its {len(files)} files can be read: {held}")


def choose_format(path: Path, kinds: Mapping[Path, Kind], columns: Mapping[str, str] | None) -> Format:
    """The format that most files are in; one that is known goes before a plain table.

    A PyTorch file, which must be read whole, is looked at only if nothing else fits.

    Raises:
        DumpError: no format fits.
    """
    if columns is not None:
        return _as_told(path, kinds, plain(columns, guessed=False), columns)
    lines = [file for file, kind in kinds.items() if kind != "PyTorch"]
    saved = [file for file, kind in kinds.items() if kind == "PyTorch"]
    seen: set[str] = set()
    reasons: Counter[str] = Counter()
    for candidates in (lines, saved[:4]):
        known: Counter[Format] = Counter()
        tables: dict[str, Format] = {}
        votes: Counter[str] = Counter()
        for file in _spread(candidates):
            for record in islice(records(file, kinds[file], reasons, Meter()), PROBED_RECORDS):
                if record is None:
                    continue
                if fitting := next((f for f in FORMATS if kinds[file] in f.kinds and f.fits(record)), None):
                    known[fitting] += 1
                    break
                seen.update(map(text, islice(record, 20)))
                if kinds[file] != "PyTorch" and (mapping := guess(record)):
                    table = plain(mapping)
                    tables.setdefault(table.name, table)
                    votes[table.name] += 1
                    break
        if known:
            return known.most_common(1)[0][0]
        if votes:
            return tables[votes.most_common(1)[0][0]]
    raise DumpError(_nothing_fits(path, len(kinds), reasons, sorted(seen)[:20]))


def _as_told(path: Path, kinds: Mapping[Path, Kind], format: Format, columns: Mapping[str, str]) -> Format:
    """The format, if rows have the columns that were named; a file of another kind may lie among them."""
    seen: dict[str, None] = {}
    for file in _spread([file for file, kind in kinds.items() if kind in format.kinds]):
        for record in islice(records(file, kinds[file], Counter(), Meter()), PROBED_RECORDS):
            seen |= dict.fromkeys(map(text, record or ()))
            if record and format.fits(record) and set(columns.values()) <= seen.keys():
                return format
    lacking = [name for name in columns.values() if name not in seen] or list(columns.values())
    message = f"{path}: columns: no row has {', '.join(map(repr, lacking))}"
    raise DumpError(message + (f"; fields seen: {', '.join(list(seen)[:20])}" if seen else ""))


def of_kind(kinds: Mapping[Path, Kind], format: Format, skipped: Counter[str]) -> list[Path]:
    """The files of the kinds that a format comes in; the others are counted, and those with rollouts apart."""
    others = {file: kind for file, kind in kinds.items() if kind not in format.kinds}
    lines = [file for file, kind in others.items() if kind != "PyTorch"]
    lost: Counter[str] = Counter()
    for file in _spread(lines):
        reasons: Counter[str] = Counter()
        head = list(islice(records(file, kinds[file], reasons, Meter()), PROBED_RECORDS))
        if any(record is not None and is_known(record) for record in head):
            lost[f"file in another format than {shorten(format)}"] += 1
        elif not head:  # a Parquet file that is broken
            lost.update(reasons)
    skipped.update(lost)
    skipped[OTHER] += len(lines) - lost.total()
    skipped[UNOPENED] += len(others) - len(lines)
    return [file for file in kinds if file not in others]


def is_known(record: Record) -> bool:
    """Whether a record is of any format that is known."""
    return any(format.fits(record) for format in FORMATS)


def shorten(format: Format) -> str:
    """A format's name without what stands in brackets."""
    return format.name.split(" (")[0]


def _spread(files: Sequence[Path]) -> Iterator[Path]:
    """Files from all over the list, until enough has been looked at."""
    stride = max(1, len(files) // PROBED_FILES)
    read = 0
    for file in files[::stride]:
        yield file
        read += size_of(file)
        if read > PROBED_BYTES:
            return


def _nothing_fits(path: Path, count: int, reasons: Mapping[str, int], fields: Sequence[str]) -> str:
    message = f"{path}: no rollouts found in {count} file{'s' if count > 1 else ''}"
    if reasons:
        message += "; " + ", ".join(f"{reason}: {times}" for reason, times in reasons.items())
    if fields:
        message += (
            f"; fields seen: {', '.join(fields)}. If this is a table with a row a rollout, name its columns: "
            "--columns prompt=...,completion=...,group=...,step=..."
        )
    return message


def leave_out_twins(root: Path, files: list[Path], format: Format, skipped: Counter[str]) -> list[Path]:
    """Without evaluation rollouts beside those of training, and without files that repeat others."""
    names = {file: file.relative_to(root).as_posix() if file != root else "" for file in files}
    kept = [file for file in files if not is_evaluation(names[file])]
    if kept and len(kept) < len(files):
        skipped["file of evaluation rollouts beside those of training (give it as a path of its own)"] += len(
            files
        ) - len(kept)
        files = kept
    kept = [file for file in files if not format.redundant or format.redundant not in names[file].split("/")]
    if kept and len(kept) < len(files):
        skipped[f"file in a folder {format.redundant!r}, whose rollouts stand elsewhere again"] += len(files) - len(
            kept
        )
        files = kept
    return files
