"""Solutions of grade-school problems, right and wrong; the real ones where they are at hand."""

from __future__ import annotations

import json
from pathlib import Path

REAL = Path(__file__).parents[4] / "shared" / "data" / "gsm8k" / "example_model_solutions_300.jsonl"

_WRITTEN = [
    ("She bakes 4 * 6 = <<4*6=24>>24 rolls.\nA: 24", "24", True),
    ("He has 30 - 12 = <<30-12=18>>18 left.\nA: 18", "17", False),
    ("The house cost 80,000 + 50,000 = $<<80000+50000=130000>>130,000.\nA: 130,000", "130000", True),
    ("That is 5 / 2 = <<5/2=2.5>>2.5 hours.\nA: 2.5", "2.50", True),
    ("He loses 10 - 35 = <<10-35=-25>>-25.\nA: -25", "25", False),
    ("Twice 3.0 is <<2*3=6>>6.0 metres.\nA: 6.0", "6", True),
]


def solutions() -> list[tuple[str, str, bool]]:
    """Each a solution, the gold answer in GSM8K's form, and whether people called the solution right."""
    if not REAL.is_file():
        return [(text, f"Step by step.\n#### {gold}", right) for text, gold, right in _WRITTEN]
    found = []
    for line in REAL.read_text().splitlines():
        row = json.loads(line)
        gold = row["ground_truth"].rpartition("A:")[2].strip()
        for entry in row.values():
            if isinstance(entry, dict):
                found.append((entry["solution"], f"Step by step.\n#### {gold}", entry["is_correct"]))
    return found
