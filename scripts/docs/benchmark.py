"""A method's rows of the recorded benchmark, or why it has none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from concord.core.catalogue import Card
from concord.engines.loop import SUPPLIED

RECORD = Path(__file__).parents[2] / "docs" / "data" / "bench.json"
"""What `concord bench` found: the command, the machine, and a row a task and method."""

OTHER_KINDS = {"preference": "a preference loss", "strategy": "a choice of rollouts", "reward": "a reward"}


def record(path: Path = RECORD) -> dict[str, Any]:
    """The recorded run; one without rows where none was written yet."""
    return json.loads(path.read_text()) if path.exists() else {"rows": []}


def section(name: str, card: Card, made: Any, found: dict[str, Any]) -> str:
    """The section of a method's page."""
    rows = [row for row in found["rows"] if row["method"].split(":")[0] == name]
    if not rows:
        return f"Not in the benchmark: {why_not(card, made, found)}."
    lines = ["| task | AUC | minus GDPO's, 95 % | wins | verdict | good in every reward | kept | at equal compute |"]
    lines.append("|---|---:|---:|---:|---|---:|---:|---:|")
    lines += [_row(row, name) for row in rows]
    seeds = " or ".join(str(count) for count in sorted({row["seeds"] for row in rows}))
    how = f"`{found['command']}`, {found['machine']}, {seeds} seeds, paired."
    # The rows of several methods in one table have a common budget.
    equal = "Equal compute is what the most frugal method spent; some rows were made beside further methods."
    explained = "The columns are explained in [Benchmark](../bench.md#what-is-compared)."
    return "\n".join(lines) + f"\n\n{how} {equal} {explained}"


def _row(row: dict[str, Any], name: str) -> str:
    task = row["task"] + (f" ({row['method']})" if row["method"] != name else "")
    if row["verdict"] == "baseline":
        against = wins = ""
    else:
        against = f"{row['diff']:+.3f} ({row['low']:+.3f} to {row['high']:+.3f})"
        wins = f"{row['wins']} of {row['seeds']}"
    equal = "" if row.get("equal") is None else f"{row['equal']:+.3f}"
    cells = [task, f"{row['auc']:.3f}", against, wins, row["verdict"], f"{row['joint']:.2f}", f"{row['kept']:.2f}"]
    return "| " + " | ".join([*cells, equal]) + " |"


def why_not(card: Card, made: Any, found: dict[str, Any]) -> str:
    """The reason, from what the method is and needs."""
    if card.kind not in ("advantage", "loss"):
        return f"it compares advantages and policy losses, and this is {OTHER_KINDS[card.kind]}"
    if getattr(made, "learner", None) is not None:
        return "it needs a learner beside the policy, which the benchmark's loop has not"
    if getattr(getattr(made, "objective", None), "needs_reference", False):
        return "it needs a reference policy, which the benchmark's loop has not"
    if missing := sorted(getattr(made, "needs", frozenset()) - SUPPLIED):
        columns = ", ".join(f"`{column}`" for column in missing)
        return f"it needs {columns} of each rollout, which neither the tasks nor the benchmark's loop give"
    if card.needs:
        return f"it needs {', '.join(card.needs)}, which no task has"
    if not found["rows"]:
        return "no run of it is recorded for this page yet; [Benchmark](../bench.md) has tables of several methods"
    return "it was not part of the recorded run"
