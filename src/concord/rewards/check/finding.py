"""One thing that was checked, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

OK = "ok"
WARNING = "warning"
"""Nothing is broken, but somebody should look at it."""
FAULT = "fault"
"""A run with this reward loses scores, stops, or cannot be repeated."""


@dataclass(frozen=True)
class Finding:
    """The outcome of a check.

    Attributes:
        check: its name, one word.
        verdict: ``ok``, ``warning`` or ``fault``.
        seen: what was seen, in a sentence.
        advice: what to do, in a sentence; empty where all is well.
        numbers: what was measured, by name.
    """

    check: str
    verdict: str
    seen: str
    advice: str = ""
    numbers: Mapping[str, float] = field(default_factory=dict)
