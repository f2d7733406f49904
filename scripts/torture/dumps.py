"""Damaged rollout dumps of every format and container, read, analysed and shown."""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from scripts.torture.mutations import HOSTILE_TEXTS, damage, junk, line, spoil
from tests.dumps import test_fuzz, test_slime
from tests.dumps.truth import rows

from concord.dumps import open_dump
from concord.dumps.writer import METADATA_KEY
from concord.report import analyse, terminal
from concord.report.escaping import EscapingConsole
from concord.report.page import write_page
from concord.report.tables import write_tables

ROWS = rows((1, 2), groups=2, size=2)
TABLE = [
    {"step": row.step, "prompt": row.prompt, "completion": row.completion, **row.scores, "advantage": 0.5}
    for row in ROWS
]
RECORDS: dict[str, list[dict[str, Any]]] = {
    **test_fuzz.SEEDS,
    "plain table": TABLE,
}
"""Sound records of each format of lines, which are spoilt."""

SAMPLES = [test_slime.sample(row, row.scores) for row in ROWS]

LINES = 24
"""Records of a file, each of which is an input."""

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def spoilt_lines(rng: Random, folder: Path) -> int:
    """JSON lines of one format: some records spoilt, some sound."""
    seeds = RECORDS[rng.choice(sorted(RECORDS))]
    lines = [line(rng, spoil(rng, rng.choice(seeds))) for _ in range(LINES)]
    head = [json.dumps(record).encode() + b"\n" for record in seeds] if rng.random() < 0.7 else []
    path = folder / f"{rng.choice(('dump', 'step_3', 'eval', 'x' * 200))}.jsonl"
    path.write_bytes(b"".join((*head, *lines)))
    _look(rng, path)
    return LINES


def spoilt_tables(rng: Random, folder: Path) -> int:
    """A CSV or Parquet table of spoilt rows, its bytes damaged too."""
    table = [spoil(rng, rng.choice(TABLE)) for _ in range(LINES)]
    path = folder / "table"
    if rng.random() < 0.5:
        text = io.StringIO()
        names = list(dict.fromkeys(name for row in table for name in row))
        writer = csv.writer(text, delimiter=rng.choice(",\t;"), quoting=rng.choice((csv.QUOTE_MINIMAL, csv.QUOTE_ALL)))
        writer.writerows([names, *([str(row.get(name, ""))[:2000] for name in names] for row in table)])
        path.write_bytes(damage(rng, text.getvalue().encode("utf-8", "surrogatepass"), 0.5))
    else:
        path.write_bytes(damage(rng, _parquet(rng, table), 0.5))
    _look(rng, path)
    return LINES


def spoilt_samples(rng: Random, folder: Path) -> int:
    """A file of ``torch.save`` with spoilt samples, tensors among them, its bytes damaged too."""
    samples: list[Any] = []
    share = rng.choice((0.03, 0.2, 1.0))  # of one value that pickle's reader does not know, all of the file is lost
    for _ in range(LINES):
        if rng.random() >= share:
            samples.append(rng.choice(SAMPLES))
            continue
        sample = spoil(rng, rng.choice(SAMPLES))
        for name in rng.sample(sorted(map(str, sample)), min(len(sample), rng.randrange(3))):
            sample[name] = tensor(rng)
        samples.append(rng.choice((sample, sample, sample, sample, junk(rng))))
    payload: Any = {"rollout_id": rng.choice((1, 1, junk(rng), tensor(rng))), "samples": samples}
    if rng.random() < 0.05:
        payload = junk(rng)
    path, data = folder / "saved.pt", io.BytesIO()
    try:
        torch.save(payload, data)
    except RecursionError:  # deeper than pickle can write
        torch.save({"rollout_id": 1, "samples": SAMPLES}, data)
    path.write_bytes(damage(rng, data.getvalue(), 0.4))
    _look(rng, path)
    return LINES


def broken_files(rng: Random, folder: Path) -> int:
    """Any bytes behind the first bytes of something, links, empty files, folders of all of it."""
    heads = (
        b"",
        b"{",
        b'{"input": ',
        b"PAR1",
        b"PK\x03\x04",
        b"a,b\n",
        b"\xef\xbb\xbf{",
        b"\x80\x04",
        b"\xff\xfe",
        b"[",
    )
    for number in range(4):
        name = rng.choice(("a.jsonl", "b.pt", "\x1b]0;T\x07", "c\udcff", ".hidden", "step_9" * 20)) + str(number)
        kind = rng.randrange(6)
        if kind == 0:
            (folder / name).symlink_to(rng.choice((name, "/etc/passwd", "nowhere", ".")))
        elif kind == 1:
            (folder / name).mkdir()
        elif kind == 2:
            (folder / name).write_bytes(gzip.compress(b'{"input": 1}'))
        else:
            (folder / name).write_bytes(
                rng.choice(heads) + rng.randbytes(rng.randrange(200)) + rng.choice((b"PAR1", b""))
            )
    _look(rng, folder)
    return 4


def tensor(rng: Random) -> Any:
    """A tensor where a number or a text belongs."""
    made = torch.tensor(rng.choice((1.0, float("nan"), 2, True, [1, 2], [], [[0.5]])))
    kind = rng.randrange(6)
    if kind == 0:
        return made.to_sparse() if made.dim() else made
    if kind == 1:
        return torch.empty(rng.choice(((), (3,))), device="meta")
    if kind == 2:
        return torch.quantize_per_tensor(torch.tensor([0.5]), 0.1, 0, torch.qint8)
    if kind == 3:
        return torch.zeros(1).expand(10**9)
    return made.to(torch.complex64) if kind == 4 else made


def _parquet(rng: Random, table: list[dict[str, Any]]) -> bytes:
    columns: dict[str, Any] = {}
    for name in dict.fromkeys(name for row in table for name in row):
        values = [row.get(name) for row in table]
        try:
            columns[name.encode("utf-8", "replace").decode()] = pa.array(values)
        except (pa.ArrowException, ValueError, OverflowError, TypeError, UnicodeError):
            columns[name.encode("utf-8", "replace").decode()] = pa.array([type(v).__name__ for v in values])
    metadata = {METADATA_KEY: rng.choice((b"{}", b"[" * 100_000, b"\xff", b'{"schema": 1e400}'))}
    data = io.BytesIO()
    made = pa.table(columns)
    pq.write_table(made.replace_schema_metadata(metadata) if rng.random() < 0.3 else made, data)
    return data.getvalue()


def _look(rng: Random, path: Path) -> None:
    """Read it as a user would: all of it, and in some cases on the terminal and as a page."""
    dump = open_dump([path])
    if rng.random() < 0.9:
        for group in dump:
            "".join((group.run, group.key, group.prompt, *group.completions)).encode()
        return
    analysis = analyse(dump)
    shown = io.StringIO()
    terminal.show(analysis, EscapingConsole(file=shown, width=100))
    if found := _CONTROL.search(shown.getvalue()):
        raise AssertionError(f"{found[0]!r} reached the terminal")
    if rng.random() < 0.15:
        out = path.parent if path.is_file() else path
        write_page({rng.choice(HOSTILE_TEXTS): analysis}, out / "page.html", command="concord diagnose")
        write_tables(analysis, out / "tables")
