"""What the recipes' runs leave out here."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def without_curves(monkeypatch: pytest.MonkeyPatch) -> None:
    """A picture costs as much as the two steps that it would show; tests/run draws some."""
    monkeypatch.setattr("concord.run.train.draw_curves", lambda *_: None)
