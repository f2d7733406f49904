"""Damaged and hostile input of every kind: each is read or refused clearly, and never ends in another exception.

    python -m scripts.torture.inputs --count 100000 --seconds 3600
    python -m scripts.torture.inputs --kind spoilt_lines --first 812 --count 1       one case again

Prints, for each kind, how many inputs there were, how many cases were read and how many refused with a ConcordError,
and every fault with the command that repeats it. Exit code 1 on a fault.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

from scripts.torture import dumps, values

from concord.core.errors import ConcordError

Case = Callable[[Random, Path], int]

KINDS: dict[str, tuple[Case, int]] = {
    "spoilt_lines": (dumps.spoilt_lines, 24),
    "spoilt_tables": (dumps.spoilt_tables, 12),
    "spoilt_samples": (dumps.spoilt_samples, 12),
    "broken_files": (dumps.broken_files, 4),
    "completions": (values.completions, 6),
    "programs": (values.programs, 1),
    "configurations": (values.configurations, 8),
    "tensors": (values.tensors, 12),
}
"""Each kind's case, and how many of it there are in a round."""

LONGEST = 120.0
"""Seconds of processor time that a case may take; more is a fault, as a hang is one."""

SHOWN = 20


class _Hangs(BaseException):
    """A case takes too long; no ``except Exception`` may take it for its own."""


class Campaign:
    """What came of the cases so far.

    Attributes:
        inputs, read, refused, faults: by kind; inputs are records, the others are cases.
        told: a line for each distinct fault.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.inputs: Counter[str] = Counter()
        self.read: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self.told: dict[str, str] = {}

    def case(self, kind: str, number: int) -> None:
        """Run one case, drawn from the seed, its kind and its number alone."""
        make = KINDS[kind][0]
        rng = Random(f"{self.seed}/{kind}/{number}")
        folder = Path(tempfile.mkdtemp(prefix="torture-"))
        try:
            with _in_time():
                self.inputs[kind] += make(rng, folder)
            self.read[kind] += 1
        except ConcordError as error:
            str(error).encode("utf-8", "backslashreplace")
            self.inputs[kind] += SIZES.get(kind, 1)
            self.refused[kind] += 1
        except (Exception, _Hangs) as error:
            self.faults[kind] += 1
            frame = traceback.extract_tb(error.__traceback__)[-1]
            place = f"{type(error).__name__} at {Path(frame.filename).name}:{frame.lineno}"
            again = f"python -m scripts.torture.inputs --seed {self.seed} --kind {kind} --first {number} --count 1"
            self.told.setdefault(f"{kind}: {place}", f"{str(error)[:200]!r}; {again}")
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def table(self) -> str:
        """The counts, a line a kind, and the faults."""
        lines = [f"{'kind':16}{'inputs':>10}{'read':>10}{'refused':>10}{'faults':>10}"]
        for kind in (*KINDS, "all"):
            columns = (self.inputs, self.read, self.refused, self.faults)
            counts = [column.total() if kind == "all" else column[kind] for column in columns]
            if any(counts):
                lines.append(f"{kind:16}" + "".join(f"{count:>10,}" for count in counts))
        lines += [f"FAULT {where}: {said}" for where, said in list(self.told.items())[:SHOWN]]
        return "\n".join(lines)


SIZES = {
    "spoilt_lines": dumps.LINES,
    "spoilt_tables": dumps.LINES,
    "spoilt_samples": dumps.LINES,
    "broken_files": 4,
    "completions": values.TEXTS,
    "programs": 2,
}
"""Inputs of a case that was refused as a whole."""


def main(arguments: list[str] | None = None) -> int:
    """Run a campaign; 1 if it found a fault."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100_000, help="inputs; with --kind, cases")
    parser.add_argument("--seconds", type=float, default=3600.0, help="at most")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kind", choices=KINDS, help="only this one")
    parser.add_argument("--first", type=int, default=0, help="number of the first case of the kind")
    given = parser.parse_args(arguments)
    campaign, until = Campaign(given.seed), time.monotonic() + given.seconds
    logging.disable(logging.CRITICAL)
    with warnings.catch_warnings(), contextlib.redirect_stderr(open(os.devnull, "w")):
        warnings.simplefilter("ignore")
        for kind, number in _order(given.kind, given.first):
            done = number - given.first if given.kind else campaign.inputs.total()
            if done >= given.count or time.monotonic() >= until:
                break
            campaign.case(kind, number)
    logging.disable(logging.NOTSET)
    print(campaign.table())
    return 1 if campaign.faults else 0


def _order(only: str | None, first: int) -> Iterator[tuple[str, int]]:
    """Cases without end: of one kind, or rounds of all of them."""
    number = first
    while True:
        for kind, (_, times) in KINDS.items():
            if only is None:
                yield from ((kind, number * times + turn) for turn in range(times))
        if only is not None:
            yield only, number
        number += 1


@contextlib.contextmanager
def _in_time() -> Iterator[None]:
    def stop(*_: Any) -> None:
        raise _Hangs(f"more than {LONGEST:g} seconds of processor time")

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, LONGEST)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


if __name__ == "__main__":
    sys.exit(main())
