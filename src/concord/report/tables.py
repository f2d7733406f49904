"""The analysis as files: one CSV a table, and all of it as JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from concord.core.durable import write_whole
from concord.report.analysis import Analysis

Row = dict[str, Any]


def write_tables(analysis: Analysis, folder: Path) -> list[Path]:
    """Write ``analysis.json`` and a CSV for each table that has rows; the paths, in order.

    Nested values become columns such as ``trend.first``. A number that could not be measured is an
    empty cell. A text that a spreadsheet would take for a formula gets an apostrophe in front.

    Args:
        folder: made if absent; files of these names in it are replaced.
    """
    folder.mkdir(parents=True, exist_ok=True)
    whole = folder / "analysis.json"
    write_whole(whole, json.dumps(analysis.to_dict(), indent=1))
    written = [whole]
    for name, rows in tables(analysis).items():
        if rows:
            written.append(folder / f"{name}.csv")
            _write_csv(written[-1], rows)
    return written


def tables(analysis: Analysis) -> dict[str, list[Row]]:
    """Each table by name, as flat rows."""
    plain = analysis.to_dict()
    rewards = plain["rewards"]
    conflict, quality, queries = plain["conflict"], plain["quality"], plain["queries"]
    return {
        "summary": [{"number": name, "value": plain[name]} for name in Analysis.NUMBERS],
        "rewards": [_flat({"reward": name, **_without(record, "histogram")}) for name, record in rewards.items()],
        "histograms": [row for name, record in rewards.items() for row in _bars(name, record["histogram"])],
        "pairs": [_flat(pair) for pair in conflict["pairs"]],
        "queries": [{"end": end, **_flat(query)} for end in ("worst", "best") for query in queries[end]],
        "queries_histograms": [row for name in ("consensus", "kept") for row in _bars(name, queries[name])],
        "sweep": plain["sweep"],
        "methods": plain["methods"],
        "learner": [_flat(metric) for metric in plain["learner"]],
        "steps": [_flat(point) for point in plain["series"]],
        "quality": [{"fact": name, "value": value} for name, value in _flat(quality).items()],
        "findings": [_flat(_without(finding, "numbers")) for finding in plain["findings"]],
    }


def _bars(name: str, histogram: Mapping[str, Any]) -> Iterable[Row]:
    for edge, count in zip(histogram["edges"], histogram["counts"], strict=True):
        yield {"of": name, "from": edge, "width": histogram["width"], "count": count}


def _without(record: Mapping[str, Any], key: str) -> Row:
    return {name: value for name, value in record.items() if name != key}


def _flat(record: Mapping[str, Any], prefix: str = "") -> Row:
    """Nested mappings as ``outer.inner``; lists as one cell."""
    row: Row = {}
    for name, value in record.items():
        if isinstance(value, Mapping):
            row |= _flat(value, f"{prefix}{name}.")
        else:
            row[prefix + name] = "; ".join(map(str, value)) if isinstance(value, list) else value
    return row


def _write_csv(path: Path, rows: list[Row]) -> None:
    columns = list(dict.fromkeys(column for row in rows for column in row))
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(map(_cell, columns))
    writer.writerows([_cell(row.get(column)) for column in columns] for row in rows)
    write_whole(path, text.getvalue())


def _cell(value: Any) -> Any:
    """A cell that no spreadsheet runs."""
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) else value
