"""What the files do not say outright: which values are rewards, and how groups lie."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

from concord.core.errors import DumpError, nearest
from concord.dumps.files import natural
from concord.dumps.formats.base import Format, Rollout
from concord.dumps.grouping import Layout
from concord.dumps.values import is_number, number, text

_LOGGED = re.compile(r"rewards/(.+)/mean")
_LARGEST_STATE = 2**26


@dataclass
class Rewards:
    """The rewards of one path.

    Attributes:
        names: in the order of the dump.
        inferred: what was concluded, a sentence each.
        missing: what the dump does not hold, a sentence each.
    """

    names: list[str]
    inferred: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Column:
    """What stands under one name in a sample: numbers, floats among them, other things, all that reads as a number."""

    numbers: int
    floats: int
    texts: int
    readable: int

    def looks_numeric(self, floats_only: bool) -> bool:
        """Numbers; one thing in ten may be something else, which then counts as an invalid score."""
        return self.numbers > 0 and 9 * self.texts <= self.numbers and (self.floats == self.numbers or not floats_only)


def find_rewards(
    format: Format,
    sample: Sequence[Rollout],
    wanted: Sequence[str] | None,
    logged: Sequence[str] = (),
    all_text: bool = False,
) -> Rewards:
    """Which values are rewards: the wanted ones, else by the format's word, else by the looks of a sample.

    Args:
        format: whose word.
        sample: some rollouts.
        wanted: names given by the user; those that do not occur in the sample are left out.
        logged: names under which the run's own log holds rewards.
        all_text: the files hold numbers as text, like everything else (CSV).

    Raises:
        DumpError: nothing could be a reward.
    """
    columns = _columns(sample, all_text)
    if wanted is not None:
        return Rewards([name for name in wanted if name in columns])
    if format.declared is not None:
        found = Rewards([name for name in format.declared(sample) if name in columns])
    else:
        found = _infer(format, columns, logged)
    if not found.names:
        others = [name for name, column in columns.items() if column.readable]
        raise DumpError(
            "no value looks like a reward"
            + (f"; of the numbers ({', '.join(others)}) name the rewards with --rewards" if others else "")
            + (f". {format.components}" if format.components else "")
        )
    found.missing += format.lacks
    return found


def _infer(format: Format, columns: dict[str, _Column], logged: Sequence[str]) -> Rewards:
    likely = [name for name, column in columns.items() if column.looks_numeric(format.floats_only)]
    candidates = [name for name in likely if name not in format.others]
    if known := [name for name in candidates if name in logged]:
        return Rewards(known, [f"rewards: {', '.join(known)} (as the run's trainer_state.json names them)"])
    parts = [name for name in candidates if name not in format.totals]
    totals = [name for name in format.totals if name in columns and columns[name].readable]
    found = Rewards(parts or totals[:1])
    if parts:
        found.inferred.append(f"rewards: {', '.join(parts)} (numbers that are no known field of {format.name})")
        if totals:
            found.inferred.append(f"left out as a total of the others: {', '.join(totals)}")
    elif totals:
        found.inferred.append(f"one reward: {totals[0]}, the total")
        found.missing += [format.components] if format.components else []
    unclear = [n for n, c in columns.items() if n not in format.others and c.numbers == c.texts == 0]
    if unclear:
        found.inferred.append(f"not taken for rewards, being empty in the first rows: {', '.join(unclear[:20])}")
    return found


def _columns(sample: Sequence[Rollout], all_text: bool = False) -> dict[str, _Column]:
    counts: dict[str, Counter[str]] = {}
    for rollout in sample:
        for name, value in rollout.values.items():
            if name != text(name):
                continue  # a name with half a surrogate pair, which could be written nowhere
            count = counts.setdefault(name, Counter())
            if value is None:
                continue
            readable = math.isfinite(number(value))
            numeric = readable if all_text else is_number(value)
            count["number"] += numeric
            count["text"] += not numeric
            count["float"] += numeric and isinstance(value, float | str)
            count["readable"] += readable
    return {name: _Column(c["number"], c["float"], c["text"], c["readable"]) for name, c in counts.items()}


def check_wanted(wanted: Sequence[str], found: Sequence[Rewards], samples: Sequence[Sequence[Rollout]]) -> None:
    """That each name given by the user occurs somewhere, once.

    Raises:
        DumpError: it does not.
    """
    if twice := [name for name, times in Counter(wanted).items() if times > 1]:
        raise DumpError(f"rewards: named twice: {', '.join(twice)}")
    known = [name for sample in samples for name, column in _columns(sample).items() if column.readable]
    present = {name for rewards in found for name in rewards.names}
    for name in wanted:
        if name not in present:
            listed = ", ".join(dict.fromkeys(known)) or "none"
            raise DumpError(f"rewards: there is no {name!r}{nearest(name, known)}; numbers in the dump: {listed}")


def find_layout(format: Format, sample: Sequence[Rollout], by_id: bool) -> Layout:
    """How groups lie, from the first rollouts of a file.

    Args:
        format: says whether a group is a run of equal prompts.
        sample: rollouts in the file's order.
        by_id: they have been given ids by ``group_by``.
    """
    keys = [(r.run, r.step, r.prompt if r.group is None else (r.group,)) for r in sample]
    runs = [(key, len(list(rows))) for key, rows in groupby(keys)]
    if format.consecutive and not by_id:
        lengths = Counter(length for _, length in runs[:-1])  # the sample may end within the last one
        return Layout(False, lengths.most_common(1)[0][0] if lengths else None)
    return Layout(len({key for key, _ in runs}) < len(runs) or all(length == 1 for _, length in runs))


def logged_rewards(path: Path) -> list[str]:
    """The rewards that a run's ``trainer_state.json`` names, if one lies where TRL and ms-swift put it.

    They log ``rewards/<name>/mean``, and save it in ``checkpoint-N`` beside the completions.
    """
    folder = path if path.is_dir() else path.parent
    folders = [folder, folder.parent] if folder.name == "completions" else [folder]
    for base in folders:
        states = sorted(base.glob("checkpoint-*/trainer_state.json"), key=lambda file: natural(str(file)))
        for state in reversed(states):
            if state.is_symlink() or state.parent.is_symlink() or state.stat().st_size > _LARGEST_STATE:
                continue
            try:
                history = json.loads(state.read_bytes())["log_history"]
                keys = dict.fromkeys(key for entry in history for key in entry)
            except (ValueError, KeyError, TypeError, OSError, RecursionError):
                continue
            if names := [match[1] for key in keys if (match := _LOGGED.fullmatch(key))]:
                return names
    return []
