"""What docs/strategies.md shows works, and it names every strategy and published reward."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from concord import names
from concord.core.catalogue import builder

PAGE = (Path(__file__).parents[2] / "docs" / "strategies.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_its_python_runs(number: int) -> None:
    exec(BLOCKS[number], {"__name__": "docs"})


def test_its_tables_are_the_catalogues() -> None:
    listed = set(re.findall(r"^\| `(\w+)` ", PAGE, re.MULTILINE))
    rooms = ("concord.rewards.published", "concord.strategies", "concord.methods.improvement")
    assert listed == {name for name in names("*", "reward", "strategy") if builder(name).__module__.startswith(rooms)}
