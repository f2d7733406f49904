"""Records from text, a line at a time: JSON lines and CSV."""

from __future__ import annotations

import codecs
import csv
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from concord.dumps.meter import Meter

LONGEST_LINE = 2**28
"""Bytes; a longer line is passed over, so that a file without line ends does not fill the memory."""

LONGEST_FIELD = 2**26
"""Characters of one CSV field: an unclosed quote swallows no more than this."""


def json_lines(path: Path, skipped: Counter[str], meter: Meter) -> Iterator[dict[str, Any] | None]:
    """The objects of a file of JSON lines; None for a line that holds none, which is counted.

    NaN and Infinity are accepted, as Python writes them.
    """
    for line, whole in _lines(path, skipped, meter):
        if line is None:
            yield None
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            if not whole:
                skipped["truncated last line"] += 1
            elif isinstance(error, RecursionError):
                skipped["line nested too deeply"] += 1
            else:
                skipped["line that is not JSON"] += 1
            yield None
            continue
        if not isinstance(record, dict):
            skipped["line that is no JSON object"] += 1
        yield record if isinstance(record, dict) else None


def csv_rows(path: Path, skipped: Counter[str], meter: Meter) -> Iterator[dict[str, Any] | None]:
    """The rows of a CSV file with a header, by column, as text; None for one that cannot be read.

    An empty field is None. The delimiter is the commonest of comma, tab and semicolon in the header.
    """
    lines = (line for line, _ in _lines(path, skipped, meter, strip=False) if line is not None)
    header = next(lines, "")
    delimiter = max(",\t;", key=header.count)
    names = next(csv.reader([header], delimiter=delimiter), [])
    if len(set(names)) < len(names):
        skipped["CSV file with two columns of one name"] += 1
        return
    rows = csv.reader(lines, delimiter=delimiter)
    while True:
        try:
            row = _next(rows)
        except csv.Error:
            skipped["CSV row that cannot be read"] += 1
            yield None
            continue
        if row is None:
            return
        if len(row) == len(names):
            yield {name: value if value else None for name, value in zip(names, row, strict=True)}
        elif row:
            skipped["CSV row with another number of fields than the header"] += 1
            yield None


def _next(rows: Iterator[list[str]]) -> list[str] | None:
    before = csv.field_size_limit(LONGEST_FIELD)  # a setting of the whole process: lent for one row
    try:
        return next(rows, None)
    finally:
        csv.field_size_limit(before)


def _lines(path: Path, skipped: Counter[str], meter: Meter, strip: bool = True) -> Iterator[tuple[str | None, bool]]:
    """Each line's text, None if it cannot be read, and whether it ends; without blank lines if ``strip``."""
    with path.open("rb") as file:
        if file.read(3) != codecs.BOM_UTF8:
            file.seek(0)
        while line := file.readline(LONGEST_LINE):
            whole = line.endswith(b"\n")
            if not whole and len(line) == LONGEST_LINE:
                skipped[f"line longer than {LONGEST_LINE >> 20} MiB"] += 1
                _skip_line(file)
                yield None, True
                continue
            meter.at(file.tell())
            if strip and not (line := line.strip()):
                continue
            try:
                content = line.decode()
            except UnicodeDecodeError:
                skipped["line that is not UTF-8"] += 1
                yield None, whole
            else:
                yield content, whole


def _skip_line(file: BinaryIO) -> None:
    while (rest := file.readline(LONGEST_LINE)) and not rest.endswith(b"\n"):
        pass
