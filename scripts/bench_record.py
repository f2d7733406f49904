"""What the documentation quotes of the benchmark: results of `concord bench --json`, put together.

    python scripts/bench_record.py --machine "two shared x86-64 cores" --command "concord bench ..." a.json b.json

writes docs/data/bench.json. Where a task and method stand in several results, the first counts.
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
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", nargs="+", type=Path)
    parser.add_argument("--machine", required=True)
    parser.add_argument("--command", required=True)
    options = parser.parse_args()
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for path in options.results:
        for row in rows(json.loads(path.read_text())):
            found.setdefault((row["task"], row["method"]), row)
    seeds = max(row["seeds"] for row in found.values())
    record = {"command": options.command, "machine": options.machine, "seeds": seeds, "rows": list(found.values())}
    RECORD.parent.mkdir(parents=True, exist_ok=True)
    RECORD.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
