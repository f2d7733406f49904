"""Where commands write: results to stdout, progress to stderr."""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import json
import math
import os
import sys
from collections.abc import Iterator
from typing import Any

from rich.table import Table

from concord.core.redaction import redact
from concord.report.escaping import EscapingConsole
from concord.run.evaluate import Evaluation

stdout = EscapingConsole(highlight=False)
stderr = EscapingConsole(stderr=True, highlight=False)


def print_json(value: Any) -> None:
    """One JSON object, nothing else; NaN, which JSON does not have, becomes null; without secrets."""
    print(json.dumps(_printable(value), indent=2))


@contextlib.contextmanager
def apart(json: bool) -> Iterator[None]:
    """Send whatever is printed meanwhile to stderr: by rewards, libraries and processes, also beneath Python.

    Then what is printed to stdout afterwards is the result, and nothing else is.

    Args:
        json: whether the result is for a machine; if not, everything is printed as it is.
    """
    if not json:
        yield
        return
    sys.stdout.flush()
    try:
        kept = os.dup(1)
        os.dup2(2, 1)
    except OSError:  # one of them is closed
        kept = None
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        if kept is not None:
            flush()
            os.dup2(kept, 1)
            os.close(kept)


def flush() -> None:
    """Write out what was printed and is still held, by Python's streams and by the C library."""
    for stream in (sys.stdout, sys.__stdout__, sys.stderr, sys.__stderr__):
        with contextlib.suppress(OSError, ValueError):  # it is closed
            if stream is not None:
                stream.flush()
    with contextlib.suppress(OSError, AttributeError):  # a system whose library is not found this way
        ctypes.CDLL(None).fflush(None)


def comparison(evaluations: dict[str, Evaluation]) -> Table:
    """Evaluations side by side, a row a reward; with two of them the difference."""
    names, columns = list(evaluations), list(evaluations.values())
    table = Table("held-out prompts", *names, *(["difference"] if len(columns) == 2 else []), box=None)
    for column in table.columns[1:]:
        column.justify = "right"
    rows = {name: [found.rewards[name] for found in columns] for name in columns[0].rewards}
    rows |= {
        "response tokens": [found.length for found in columns],
        "unfinished": [found.unfinished for found in columns],
    }
    for label, values in rows.items():
        difference = [f"{values[1] - values[0]:+.3f}"] if len(values) == 2 else []
        table.add_row(label, *(f"{value:.3f}" for value in values), *difference)
    return table


def as_data(evaluations: dict[str, Evaluation]) -> dict[str, Any]:
    """Evaluations as plain data."""
    return {name: dataclasses.asdict(found) for name, found in evaluations.items()}


def _printable(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _printable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_printable(item) for item in value]
    if isinstance(value, str):
        return redact(value)
    return None if isinstance(value, float) and not math.isfinite(value) else value
