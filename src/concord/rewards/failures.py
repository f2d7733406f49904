"""What went wrong in reward functions, said once and counted."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from concord.core.printable import printable
from concord.core.redaction import redact
from concord.core.status import FAULTS
from concord.rewards.named import NamedReward
from concord.rewards.scores import Score

LONGEST = 500
"""Characters of an error that are shown; the file has a traceback beside it."""

LONGEST_TRACEBACK = 20_000
"""Characters of a traceback that are kept, from its end."""

KINDS = 20
"""Kinds of failure of one reward that are told apart; the rest are counted as others."""

OTHERS = "other"

_COUNTS = {
    "raise": "the run stops",
    "abstain": "such scores count as none",
    "zero": "such scores count 0",
    "worst": "such scores count the worst",
}


def to_stderr(line: str) -> None:
    """Print a line where people look, whatever becomes of the standard output."""
    print(line, file=sys.stderr, flush=True)


class Failures:
    """Says the first failure of each reward and kind, counts all of them, and keeps their text.

    The kind is the status, with the name of the exception if there is one. Where ``on_error`` is ``raise`` the error
    that stops the run says it.

    Args:
        rewards: whose failures they are.
        say: gets a line for people.
    """

    def __init__(self, rewards: Sequence[NamedReward], say: Callable[[str], None] = to_stderr) -> None:
        self._policies = {reward.name: reward.on_error for reward in rewards}
        self._say = say
        self._counts: dict[str, Counter[str]] = {reward.name: Counter() for reward in rewards}
        self._asked: Counter[str] = Counter()
        self._kept: list[str] = []
        self._file: Path | None = None
        self._told: Counter[str] = Counter()
        self._lock = threading.Lock()

    def keep(self, file: Path) -> None:
        """Write the text of failures to a file as well, those so far and those to come: JSON, a line each."""
        with self._lock:
            self._file = file
            kept, self._kept = self._kept, []
            for line in kept:
                self._put(line)

    def see(self, reward: str, step: int, scores: Sequence[Score], traceback: str | None) -> None:
        """Take in the scores of one reward for one batch.

        Args:
            reward: its name.
            step: the optimisation step.
            scores: all of the batch, faults among them.
            traceback: of the exception behind the first fault, where there is one.
        """
        with self._lock:
            self._asked[reward] += len(scores)
            counts = self._counts[reward]
            for score in scores:
                if score.status not in FAULTS:
                    continue
                kind = _kind(score)
                if kind not in counts and len(counts) >= KINDS:
                    kind = OTHERS
                counts[kind] += 1
                if counts[kind] == 1:
                    self._first(reward, step, score, kind, traceback)
                traceback = None  # those of the first fault only

    def tell(self) -> None:
        """Say how many scores were lost since this was last asked, and keep the numbers."""
        with self._lock:
            for reward, counts in self._counts.items():
                total = sum(counts.values())
                if total == self._told[reward]:
                    continue
                self._told[reward] = total
                kinds = ", ".join(f"{count} {printable(kind)}" for kind, count in counts.most_common())
                self._say(f"reward {reward!r}: {total} of {self._asked[reward]} scores were lost: {kinds}")
                self._put(json.dumps({"reward": reward, "lost": dict(counts), "asked": self._asked[reward]}))

    def _first(self, reward: str, step: int, score: Score, kind: str, traceback: str | None) -> None:
        error = redact(score.error or score.status)
        if self._policies[reward] != "raise":
            place = "" if score.place is None else f" ({printable(score.place)})"
            self._say(
                f"reward {reward!r} {score.status} at step {step}: {printable(error, LONGEST)}{place}; "
                f"{_COUNTS[self._policies[reward]]} (on_error: {self._policies[reward]}), and the next are counted only"
            )
        entry = {
            "reward": reward,
            "status": score.status,
            "kind": kind,
            "step": step,
            "error": error[:LONGEST_TRACEBACK],
            "place": score.place,
            "traceback": None if traceback is None else redact(traceback)[-LONGEST_TRACEBACK:],
        }
        self._put(json.dumps(entry))

    def _put(self, line: str) -> None:
        """Append a line, whole, to the file; several processes may do so."""
        if self._file is None:
            self._kept.append(line)
            return
        try:
            # An error may quote what only its owner is to see.
            descriptor = os.open(self._file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                os.write(descriptor, f"{line}\n".encode("utf-8", "replace"))
            finally:
                os.close(descriptor)
        except OSError as error:
            self._say(f"{self._file}: failures of rewards cannot be kept: {error.strerror}")
            self._file = None


def _kind(score: Score) -> str:
    """The status, with the name of the exception where the error begins with one."""
    name = (score.error or "").partition(":")[0]
    named = score.status == FAULTS[0] and name.isidentifier()
    return f"{score.status} ({name})" if named else score.status
