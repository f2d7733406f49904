from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.rewards.judging.server import Served, serving


@pytest.fixture
def server() -> Iterator[Served]:
    """Answers 7 unless told otherwise."""
    with serving() as served:
        yield served
