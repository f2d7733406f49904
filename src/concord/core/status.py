"""What became of a score: five words that are never confused with a number."""

from __future__ import annotations

SCORED = "scored"
"""There is a finite number."""
ABSTAINED = "abstained"
"""The reward function returned None: not its to judge."""
FAILED = "failed"
"""The reward function raised, or its process died."""
TIMED_OUT = "timed out"
"""The reward function did not answer within its time limit."""
INVALID = "invalid"
"""NaN, an infinity, or something of the wrong type or length."""

STATUSES = (SCORED, ABSTAINED, FAILED, TIMED_OUT, INVALID)
FAULTS = (FAILED, TIMED_OUT, INVALID)
"""Those that the reward function did not mean."""
