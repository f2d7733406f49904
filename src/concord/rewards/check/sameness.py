"""Whether a completion's score depends on anything but the completion."""

from __future__ import annotations

import math
from dataclasses import replace

from concord.core.status import FAULTS, SCORED, TIMED_OUT
from concord.rewards.check.finding import FAULT, OK, WARNING, Finding
from concord.rewards.check.measure import LOST, Measured, Round, Rounds

ROUNDING = 1e-4
"""Differences up to this, absolute or relative, are those of a model's arithmetic in batches of several shapes."""


def sameness(name: str, measured: Measured, rounds: Rounds) -> list[Finding]:
    """The checks ``repeat``, ``order`` and ``batch``: the same batch twice, in another order, in other pieces."""
    repeat = _Difference("repeat", "asked twice")
    repeat.see(name, rounds.whole, rounds.again)
    order = _Difference("order", "in another order")
    order.see(name, rounds.whole, rounds.shuffled)
    batch = _Difference("batch", "alone and in halves of the batch")
    batch.see(name, rounds.whole, rounds.alone)
    batch.see(name, rounds.whole, rounds.halves)
    found = [
        repeat.finding("draw no random numbers, or seed them from the text; a judge needs temperature 0"),
        order.finding("score each completion by itself: an engine shuffles, splits and merges batches"),
        _batch(batch, measured),
    ]
    if found[0].verdict == FAULT:  # then the others would differ whatever the reason
        return [found[0], *(_untold(finding.check) for finding in found[1:])]
    return found


def _batch(difference: _Difference, measured: Measured) -> Finding:
    """Comparing the completions of a batch may be meant, and can be said; losing scores in a small one cannot."""
    if measured.compares and not difference.lost:
        seen = f"it compares the completions of a batch, as it says: {difference.seen()}"
        return Finding("batch", OK, seen, numbers=difference.numbers)
    found = difference.finding(
        "score each completion by itself, as batches differ in size; or, if it is to compare them, say so: "
        "--group-relative, or group_relative: true in a configuration"
    )
    if found.verdict == FAULT and not difference.lost:
        return replace(found, verdict=WARNING)
    return found


class _Difference:
    """How two rounds differ where the first has an answer."""

    def __init__(self, check: str, how: str) -> None:
        self._check = check
        self._how = how
        self._compared = 0
        self._different: dict[int, str] = {}
        self._largest = 0.0
        self.lost = False

    def see(self, name: str, first: Round, second: Round) -> None:
        for row, before in first.scores[name].items():
            after = second.scores[name][row]
            # A lost call has been reported as such; one that time has run out for proves nothing.
            if before.status in LOST or after.status == TIMED_OUT:
                continue
            self._compared += 1
            if before.status != after.status:
                self.lost |= after.status in FAULTS
                said = after.error if after.status in FAULTS else after.status
                self._different.setdefault(row, f"{_shown(before.value, before.status)} and then {said or after.value}")
            elif before.value is not None and after.value is not None:
                self._largest = max(self._largest, abs(before.value - after.value))
                if not math.isclose(before.value, after.value, rel_tol=ROUNDING, abs_tol=ROUNDING):
                    self._different.setdefault(row, f"{before.value:.4g} and then {after.value:.4g}")

    @property
    def numbers(self) -> dict[str, float]:
        """How many scores were compared, how many differ, and by how much those do that count as equal."""
        return {"compared": self._compared, "different": len(self._different), "largest": self._largest}

    def seen(self) -> str:
        """What was seen, in a sentence."""
        if self._different:
            row, example = min(self._different.items())
            return f"{self._how}, {len(self._different)} scores differ; completion {row}: {example}"
        rounding = f" up to rounding ({self._largest:.1g})" if self._largest else ""
        return f"{self._how}: the same scores{rounding}"

    def finding(self, advice: str) -> Finding:
        """A fault where scores differ."""
        if not self._compared:
            return Finding(self._check, WARNING, "there is no answer to compare", "mend the calls first", self.numbers)
        if self._different:
            return Finding(self._check, FAULT, self.seen(), advice, self.numbers)
        return Finding(self._check, OK, self.seen(), numbers=self.numbers)


def _shown(value: float | None, status: str) -> str:
    return f"{value:.4g}" if status == SCORED and value is not None else status


def _untold(check: str) -> Finding:
    return Finding(check, WARNING, "cannot be told while equal calls differ", "mend that first")
