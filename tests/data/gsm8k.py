"""Rows in GSM8K's form, written for the tests; the real ones where they are at hand."""

from __future__ import annotations

import json
from pathlib import Path

REAL = Path(__file__).parents[3] / "shared" / "data" / "gsm8k" / "test.jsonl"

_ROWS = (
    ("A shelf holds 4 rows of 6 jars. 5 jars break. How many are left?", "There are 4*6=<<4*6=24>>24 jars", "19"),
    ("Ida walks 3 km a day for 2 weeks. How far does she walk?", "Two weeks are 14 days, 14*3=<<14*3=42>>42", "42"),
    ("A coat costs $80 and is sold at a quarter off. What does it cost now?", "80/4=<<80/4=20>>20 off", "60"),
    ("Of 1,500 seats 300 are free. How many are taken?", "1500-300=<<1500-300=1200>>1200", "1,200"),
)


def write_sample(path: Path, count: int = 16) -> Path:
    """A file of ``count`` rows with the columns of GSM8K."""
    rows = [_ROWS[index % len(_ROWS)] for index in range(count)]
    lines = [json.dumps({"question": q, "answer": f"{steps}\n#### {result}"}) for q, steps, result in rows]
    path.write_text("".join(line + "\n" for line in lines))
    return path


def gsm8k_file(folder: Path) -> Path:
    """The real file, or a sample of its form written into ``folder``."""
    return REAL if REAL.is_file() else write_sample(folder / "gsm8k.jsonl")
