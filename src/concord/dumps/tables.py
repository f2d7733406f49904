"""Records from Parquet, a few hundred rows at a time."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from concord.core.errors import DumpError, MissingExtra
from concord.dumps.meter import BEYOND, Allowance, Meter
from concord.dumps.writer import METADATA_KEY, SCHEMA_VERSION

ROWS_AT_ONCE = 512

BYTES_AT_ONCE = 2**28
"""What those rows may take: of a column whose values are long, fewer are read at once, though never below 4."""

LARGE, RATIO = 2**26, 200
"""A column of a row group that is larger than this many bytes, and so many times its size on disk, is not unpacked."""

PACKED = f"row of a Parquet file that unpacks to more than {RATIO} times its size"


def parquet_rows(
    path: Path, skipped: Counter[str], meter: Meter, columns: Collection[str] | None = None
) -> Iterator[dict[str, Any]]:
    """The rows of a Parquet file, by column.

    Args:
        path: the file.
        skipped: counts the rows behind a page that cannot be read or would unpack to far more than it is, or the
            file if none can be read.
        meter: follows the rows.
        columns: of those that hold no plain numbers, only these; None = all.

    Raises:
        MissingExtra: pyarrow is not installed.
        DumpError: the file is our own dump, of a later schema.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise MissingExtra.of("report", "pyarrow") from error
    size, done, total = path.stat().st_size, 0, 0
    allowance = Allowance(size)
    try:
        # Without pre-buffering, a page of each column is in memory, and not a whole row group.
        with pq.ParquetFile(path, pre_buffer=False, buffer_size=1 << 16) as file:
            _check_version(path, file.schema_arrow.metadata or {})
            schema, total = file.schema_arrow, file.metadata.num_rows
            names = schema.names
            wanted = [f.name for f in schema if columns is None or f.name in columns or _is_number(f.type)]
            if len(set(names)) < len(names):
                skipped["Parquet file with two columns of one name"] += 1
                return
            for number in range(file.metadata.num_row_groups):
                group = file.metadata.row_group(number)
                rows = _rows_at_once(group, set(wanted))
                if rows is None:
                    skipped[PACKED] += group.num_rows
                    done += group.num_rows
                    continue
                for batch in file.iter_batches(batch_size=rows, row_groups=[number], columns=wanted):
                    columns_read = [_unfolded(column) for column in batch.columns]
                    if not allowance.spend(batch.num_rows * batch.num_columns, sum(c.nbytes for c in columns_read)):
                        skipped[f"row of a Parquet file {BEYOND}"] += total - done
                        return
                    for row in zip(*map(_values, columns_read), strict=True):
                        yield dict(zip(batch.schema.names, row, strict=True))
                    done += batch.num_rows
                    meter.at(size * done // max(1, total))
    except DumpError:  # our own word, and no damage
        raise
    except (pa.ArrowException, OSError, ValueError, OverflowError, MemoryError):
        if total > done:
            skipped["row of a Parquet file that is damaged"] += total - done
        else:
            skipped["Parquet file that cannot be read"] += 1


def _rows_at_once(group: Any, wanted: Collection[str]) -> int | None:
    """How many rows of a row group are read together; None if a column is not to be unpacked at all.

    Of a value that many rows share the file holds one, and the rows one each.
    """
    largest = 0
    for number in range(group.num_columns):
        chunk = group.column(number)
        if chunk.path_in_schema.partition(".")[0] in wanted:
            if chunk.total_uncompressed_size > max(LARGE, RATIO * chunk.total_compressed_size):
                return None
            largest = max(largest, chunk.total_uncompressed_size)
    return min(ROWS_AT_ONCE, max(4, BYTES_AT_ONCE // max(1, largest)))


def _is_number(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind))


def _unfolded(column: Any) -> Any:
    """A column whose repeated values stand in each row, as they will in the end."""
    import pyarrow as pa

    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


def _values(column: Any) -> list[Any]:
    import pyarrow as pa

    if pa.types.is_floating(column.type):  # null becomes NaN, so that a column without any score is one of numbers
        return list(column.to_numpy(zero_copy_only=False).tolist())
    return list(column.to_pylist())


def _check_version(path: Path, metadata: dict[bytes, bytes]) -> None:
    try:
        version = json.loads(metadata.get(METADATA_KEY, b"{}")).get("schema", 0)
    except (ValueError, AttributeError, RecursionError):
        return
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise DumpError(
            f"{path}: written by a later Concord (schema {version}, this one reads {SCHEMA_VERSION}); "
            "run: pip install --upgrade concord-rl"
        )
