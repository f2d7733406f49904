"""What the documentation quotes of the benchmark: results of `concord bench --json`, put together.

    python scripts/bench_record.py a.json b.json

adds their rows to docs/data/bench.json. Where a task and method stand in several results, the first counts; what stood
in the record before counts last.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

RECORD = Path(__file__).parents[1] / "docs" / "data" / "bench.json"


def rows(result: dict[str, Any]) -> list[dict[str, Any]]:
    """A row a task and method, under the names that the pages use."""
    return [
        {
            "task": task["task"],
            "method": row["method"],
            "auc": row["auc"],
            "diff": row["difference"],
            "low": row["difference_interval"][0],
            "high": row["difference_interval"][1],
            "wins": row["wins"],
            "seeds": row["n"],
            "verdict": row["verdict"],
            "kept": row["kept"],
            "joint": row["success"],
            "equal": None if row["verdict"] == "baseline" else row["at_budget_difference"],
        }
        for task in result["tasks"]
        for row in task["rows"]
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", nargs="+", type=Path)
    parser.add_argument("--machine", help="that the results were made on, if it is another than the record's")
    parser.add_argument("--command", help="that made them, likewise")
    options = parser.parse_args()
    before: dict[str, Any] = json.loads(RECORD.read_text()) if RECORD.exists() else {"rows": []}
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for result in options.results:
        for row in rows(json.loads(result.read_text())):
            found.setdefault((row["task"], row["method"]), row)
    for row in before["rows"]:
        found.setdefault((row["task"], row["method"]), row)
    record = {
        "command": options.command or before["command"],
        "machine": options.machine or before["machine"],
        "rows": sorted(found.values(), key=lambda row: (row["task"], row["method"])),
    }
    RECORD.parent.mkdir(parents=True, exist_ok=True)
    RECORD.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
