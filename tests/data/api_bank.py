"""Rows in API-Bank's form, written for the tests; the real ones where they are at hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

REAL = Path(__file__).parents[3] / "shared" / "data" / "api_bank"

ROWS = {1: 399, 2: 67, 3: 131}
"""What the real files hold."""


def sample(count: int = 6) -> list[dict[str, Any]]:
    """Rows as in the files: the true call is in a list, or as in level 2 by itself."""
    made = []
    for index in range(count):
        call = {"name": "SetAlarm", "parameters": {"time": f"0{index % 10}:30", "label": "tea"}}
        made.append(
            {
                "system": "**Available Tools**\n1. Name: SetAlarm\nParameters: time, label",
                "user": f"**Dialogue Records History**\n<user>Wake me at 0{index % 10}:30 for tea.</user>\n",
                "answer": [call] if index % 2 else call,
                "other": {"id": index},
            }
        )
    return made


def api_bank_file(level: int, folder: Path) -> Path:
    """The real file of a level, or a sample of its form written into ``folder``."""
    real = REAL / f"level-{level}.json"
    if real.is_file():
        return real
    path = folder / f"level-{level}.json"
    path.write_text(json.dumps(sample()))
    return path
