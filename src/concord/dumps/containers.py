"""Records of a file, whatever holds them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from concord.dumps.formats.base import Kind
from concord.dumps.lines import csv_rows, json_lines
from concord.dumps.meter import Meter
from concord.dumps.saved import saved_samples
from concord.dumps.tables import parquet_rows

KINDS: tuple[Kind, ...] = ("JSON lines", "CSV", "Parquet", "PyTorch")


def records(
    path: Path, kind: Kind, skipped: Counter[str], meter: Meter, columns: Collection[str] | None = None
) -> Iterator[dict[str, Any] | None]:
    """The records of one file, streamed; what cannot be read is counted in ``skipped``.

    None stands where a record should be that cannot be read.

    Args:
        path: the file.
        kind: what it is.
        skipped: by reason.
        meter: follows the reading.
        columns: of a Parquet file, the columns that are wanted whatever is in them.
    """
    try:
        if kind == "Parquet":
            yield from parquet_rows(path, skipped, meter, columns)
        elif kind == "CSV":
            yield from csv_rows(path, skipped, meter)
        elif kind == "PyTorch":
            yield from saved_samples(path, skipped, meter)
        else:
            yield from json_lines(path, skipped, meter)
    except OSError:
        skipped["file that could not be read to its end"] += 1
