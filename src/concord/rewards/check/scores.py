"""What a reward function returned: whether it did, its form, its numbers, and what they tell apart."""

from __future__ import annotations

from collections import Counter

from concord.core.status import FAILED, INVALID, SCORED, STATUSES, TIMED_OUT
from concord.rewards.check.finding import FAULT, OK, WARNING, Finding
from concord.rewards.check.measure import LOST, Measured, Round, Scores

Range = tuple[float, float]


def calls(name: str, measured: Measured) -> Finding:
    """Whether calls return at all: exceptions, dead processes, time limits."""
    alone = measured.alone.scores[name]
    scores = alone if measured.rounds is None else measured.rounds.whole.scores[name]
    counts = Counter(score.status for score in scores.values())
    lost = counts[FAILED] + counts[TIMED_OUT]
    if not lost:
        return Finding("calls", OK, _counted(counts), numbers=_numbers(counts))
    alone_lost = sum(score.status in LOST for score in alone.values())
    seen = f"{_counted(counts)}; the first: {_first(scores)}"
    if measured.rounds is None:
        left = measured.size - len(scores)
        seen += f"; not asked about the other {left} of {measured.size}" if left else ""
        seen += "; nothing more was asked"
    elif alone_lost < lost:
        seen += f"; asked about one by one, {alone_lost} of {len(alone)} are lost"
    advice = "make the function faster, or give it more time with --timeout, or timeout: in the configuration"
    if counts[FAILED]:
        advice = "mend the function; what such scores count for in a run, on_error: says"
        if counts[FAILED] == measured.size and not measured.chat:
            advice += "; if it reads chats, say --chat"
    return Finding("calls", FAULT, seen, advice, _numbers(counts))


def shape(name: str, measured: Measured) -> Finding:
    """Whether what is returned has the form's type, and one entry for each completion."""
    misshapen = [found.misshapen[name] for found in _rounds(measured) if name in found.misshapen]
    if misshapen:
        return Finding("shape", FAULT, misshapen[0], "return what the form asks for; `concord rewards forms` lists it")
    return Finding("shape", OK, "one entry for each completion")


def values(name: str, measured: Measured) -> Finding:
    """Whether each entry is a finite number, or None."""
    rounds = [found.scores[name] for found in _rounds(measured) if name not in found.misshapen]
    invalid = [score.error for scores in rounds for score in scores.values() if score.status == INVALID]
    if invalid:
        count = max(sum(score.status == INVALID for score in scores.values()) for scores in rounds)
        return Finding(
            "values",
            FAULT,
            f"{count} of {measured.size} invalid; the first: {invalid[0]}",
            "return a finite number, or None where there is nothing to judge",
        )
    return Finding("values", OK, "finite numbers, or None")


def spread(name: str, measured: Measured, stated: Range | None) -> Finding | None:
    """The range of the scores, held against the one ``stated``; None where there are no scores."""
    scores = _values(name, measured)
    if not scores:
        return None
    low, high, mean = min(scores), max(scores), sum(scores) / len(scores)
    at_low, at_high = (scores.count(end) / len(scores) for end in (low, high))
    numbers = {"min": low, "max": high, "mean": mean, "share_at_min": at_low, "share_at_max": at_high}
    seen = f"{low:.4g} to {high:.4g}, mean {mean:.4g}"
    if low < high:
        seen += f"; {at_low:.0%} at the lower end, {at_high:.0%} at the upper"
    if stated is None or (stated[0] <= low and high <= stated[1]):
        return Finding("range", OK, seen, numbers=numbers)
    outside = sum(not stated[0] <= score <= stated[1] for score in scores)
    return Finding(
        "range",
        FAULT,
        f"{seen}; {outside} of {len(scores)} outside the stated {stated[0]:g} to {stated[1]:g}",
        "mend the function, state the range that it has, or cut it with clamp: in the configuration",
        numbers,
    )


def signal(name: str, measured: Measured) -> Finding:
    """Whether the scores tell completions apart."""
    scores = _values(name, measured)
    different = len(set(scores))
    advice = "check with completions that it should tell apart, given with --data"
    if not scores:
        return Finding("signal", WARNING, "not one score: the reward says nothing here", advice, {"different": 0})
    if different == 1 and len(scores) > 1:
        seen = f"all {len(scores)} scores are {scores[0]:.4g}: the reward says nothing here"
        return Finding("signal", WARNING, seen, advice, {"different": 1})
    return Finding("signal", OK, f"{different} different scores of {len(scores)}", numbers={"different": different})


def _rounds(measured: Measured) -> list[Round]:
    found = measured.rounds
    return [measured.alone] if found is None else [found.whole, found.alone, found.again, found.shuffled, found.halves]


def _values(name: str, measured: Measured) -> list[float]:
    scores = (measured.alone if measured.rounds is None else measured.rounds.whole).scores[name]
    return [score.value for score in scores.values() if score.status == SCORED and score.value is not None]


def _first(scores: Scores) -> str:
    return next(score.error or score.status for score in scores.values() if score.status in LOST)


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{counts[status]} {status}" for status in STATUSES if counts[status])


def _numbers(counts: Counter[str]) -> dict[str, float]:
    return {status.replace(" ", "_"): counts[status] for status in STATUSES}
