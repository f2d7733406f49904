"""How long calls take."""

from __future__ import annotations

import math
from collections.abc import Sequence

from concord.rewards.check.finding import OK, WARNING, Finding
from concord.rewards.check.measure import Rounds

SLOW = 0.1
"""Seconds for a completion, from which on a reward holds up a training step."""

STEP = 512
"""Completions of a step, for the advice."""


def timing(size: int, rounds: Rounds) -> Finding:
    """Percentiles of calls about one completion, and of the time for each in a batch of ``size``.

    The way to a worker process and back, a few milliseconds, is part of a call.
    """
    alone = rounds.alone.seconds
    batches = [sum(found.seconds) / size for found in (rounds.whole, rounds.again, rounds.shuffled, rounds.halves)]
    numbers = {
        "call_p50": percentile(alone, 50),
        "call_p99": percentile(alone, 99),
        "completion_p50": percentile(batches, 50),
        "completion_p99": percentile(batches, 99),
    }
    each = numbers["completion_p50"]
    seen = (
        f"a call p50 {shown(numbers['call_p50'])}, p99 {shown(numbers['call_p99'])}; "
        f"a completion in a batch of {size} p50 {shown(each)}, p99 {shown(numbers['completion_p99'])}"
    )
    if each <= SLOW:
        return Finding("time", OK, seen, numbers=numbers)
    advice = (
        f"{STEP} completions take {shown(STEP * each)}: make it faster or async, or say workers: in a configuration"
    )
    return Finding("time", WARNING, seen, advice, numbers)


def percentile(values: Sequence[float], percent: float) -> float:
    """The least value that at least ``percent`` of them do not exceed.

    Example:
        >>> percentile([3.0, 1.0, 2.0], 50), percentile([3.0, 1.0, 2.0], 99)
        (2.0, 3.0)
    """
    return sorted(values)[max(0, math.ceil(len(values) * percent / 100) - 1)]


def shown(seconds: float) -> str:
    """A duration for people.

    Example:
        >>> shown(0.0123), shown(4.2), shown(150)
        ('12.3 ms', '4.2 s', '2.5 min')
    """
    if seconds < 1:
        return f"{seconds * 1000:.3g} ms"
    return f"{seconds:.3g} s" if seconds < 60 else f"{seconds / 60:.3g} min"
