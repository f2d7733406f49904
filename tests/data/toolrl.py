"""Rows in the form of ToolRL's parquet, written for the tests; the real ones where they are at hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

REAL = Path(__file__).parents[3] / "shared" / "data" / "toolrl" / "rlla_4k_test.parquet"

_TOOLS = (
    ("find_train", {"start": "Turin", "end": "Lyon"}, "I want to go from Turin to Lyon by train."),
    ("convert", {"amount": 12.5, "unit": "mile"}, "How much is 12.5 miles?"),
    ("set_lamp", {"room": "hall", "on": True}, "Light in the hall, please."),
    ("list_rooms", {}, "Which rooms are there?"),
)


def rows(count: int) -> list[dict[str, Any]]:
    """Prompts of a system and a user message; three answers of four call a tool, one is words."""
    return [_row(index) for index in range(count)]


def write_sample(path: Path, count: int = 8) -> Path:
    """A parquet file of ``count`` rows with the columns and the nesting of rlla_4k."""
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows(count)), path)
    return path


def toolrl_file(folder: Path) -> Path:
    """The real file, or a sample of its form written into ``folder``."""
    return REAL if REAL.is_file() else write_sample(folder / "toolrl.parquet", 16)


def _row(index: int) -> dict[str, Any]:
    name, parameters, request = _TOOLS[index % len(_TOOLS)]
    system = f"Answer with think, tool_call and response tags.\n\nTools: {name}({', '.join(parameters)})"
    call = json.dumps({"name": name, "parameters": parameters})
    part = (
        f"<response> Hall, kitchen. ({index}) </response>" if not parameters else f"<tool_call>\n{call}\n</tool_call>"
    )
    truth = f"<think> Do as asked. </think>\n{part}"
    return {
        "data_source": "rlla",
        "prompt": [{"content": system, "role": "system"}, {"content": f"<user> {request} </user>", "role": "user"}],
        "ability": "math",
        "reward_model": {"ground_truth": truth, "style": "rule"},
        "extra_info": {"index": index, "input": request, "instruction": system, "output": truth, "split": "test"},
    }
