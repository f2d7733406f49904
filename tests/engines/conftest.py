"""Third parties' warnings that are none of ours; everything else stays an error."""

from __future__ import annotations

from pathlib import Path

import pytest

HERE = Path(__file__).parent

THEIRS = [
    # TRL 1.16 sets transformers' old name for it.
    "ignore:`gradient_checkpointing` is deprecated:FutureWarning",
    "ignore:`is_gradient_checkpointing` is deprecated:FutureWarning",
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            for warning in THEIRS:
                item.add_marker(pytest.mark.filterwarnings(warning))
