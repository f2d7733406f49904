"""What a format is: how to know a record of it, and what rollouts a record holds."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from concord.dumps.values import number, text, whole

Record = Mapping[str, Any]
"""One line, one row of a table, or one sample of a saved list."""

FILE_STEP = "step of the file"
"""Under this name a record carries the step that stands beside the records in its file, if one does."""


@dataclass(slots=True)
class Rollout:
    """One rollout in common terms; None where the format does not say.

    Attributes:
        values: what scores, and the columns of ``group_by``, are taken from by name.
        prompt, completion: their texts.
        group: what the rollouts of one prompt share; None = the prompt itself.
        session: rows of one group that share it are outputs of one rollout; the last one counts.
        step: the optimisation step; None = it stands in the file's name, or nowhere.
        run: the run's name.
        config: a hash of its configuration.
        advantage, keep, length, truncated, weights, statuses: as in ``GroupRows``, for this rollout;
            weights and statuses by reward.
        learner: what the run's learner measured at this step, by name.
    """

    values: Record
    prompt: str = ""
    completion: str = ""
    group: Hashable = None
    session: Hashable = None
    step: int | None = None
    run: str | None = None
    config: str | None = None
    advantage: object = None
    keep: object = None
    length: object = None
    truncated: object = None
    weights: Mapping[str, float] | None = None
    statuses: Mapping[str, str] | None = None
    learner: Mapping[str, object] | None = None


class Malformed(ValueError):
    """A record that its format does not allow; the message is one of a few, for counting."""


Kind = Literal["JSON lines", "CSV", "Parquet", "PyTorch"]


@dataclass(frozen=True)
class Format:
    """One writer's format.

    Attributes:
        name: the writer.
        kinds: the containers it comes in.
        fits: whether a record is of this format.
        rollouts: the rollouts of a record; in place of one that is left out on purpose, the reason.
            A KeyError, TypeError, ValueError, IndexError or AttributeError means that the record is
            broken: it is counted and left out.
        declared: the names that are rewards by the format's own word, from a sample; None if it
            has no such word and they are to be inferred.
        totals: values that are a combination of the others; rewards only where there are no others.
        others: values that are never rewards.
        floats_only: whole numbers and booleans are no rewards either.
        consecutive: a group is a run of rows with the same prompt, and there is no id.
        whole_files: a group never goes on in another file.
        step_in: "file" or "folder", if the step stands in that one's name.
        repeats: the writer logs one batch again at later steps.
        redundant: name of a folder whose files hold again what other files hold.
        grouping: which field is the group's id, in words.
        components: where only a total is found: what makes this framework keep the components.
        lacks: what its dumps never hold, a sentence each.
    """

    name: str
    kinds: tuple[Kind, ...]
    fits: Callable[[Record], bool]
    rollouts: Callable[[Record], Iterable[Rollout | str]]
    declared: Callable[[Sequence[Rollout]], list[str]] | None = None
    totals: tuple[str, ...] = ()
    others: frozenset[str] = frozenset()
    floats_only: bool = False
    consecutive: bool = False
    whole_files: bool = True
    step_in: Literal["file", "folder", ""] = ""
    repeats: bool = False
    redundant: str = ""
    grouping: str = ""
    components: str = ""
    lacks: tuple[str, ...] = ()


def has(*names: str) -> Callable[[Record], bool]:
    """A test for records that have all of these fields."""
    needed = set(names)
    return lambda record: needed <= record.keys()


def step_of(value: object) -> int | None:
    """A step, however it is written; None if there is none (None, NaN, an empty text).

    Raises:
        Malformed: there is something else.
    """
    found = whole(value)
    if found is None and not math.isnan(number(value)):
        raise Malformed("a step that is no whole number")
    return found


def group_of(value: object) -> str | None:
    """A group's id as text; None if there is none (None, or NaN, which a table of numbers has in its place)."""
    return None if value is None or value != value else text(value)


def digest(*parts: object) -> str:
    """A short name for something long, the same on every machine.

    Example:
        >>> digest("a long prompt", [1, 2, 3])
        '0d1e19209dc4072f'
    """
    return hashlib.blake2b(repr(parts).encode("utf-8", "replace"), digest_size=8).hexdigest()


MOST_CELLS = 2**24
"""Of a table that is one object: a single value stands in each of its rows, so that few bytes could mean many cells."""


def explode(record: Record, along: str) -> Iterator[dict[str, Any] | str]:
    """The rows of a table stored as one object of lists; single values stand in each row.

    A column of another length than ``along`` cannot be matched to rows. It is left out, and in its
    place comes a reason.

    Raises:
        Malformed: ``along`` is no list, or the table has more than ``MOST_CELLS`` cells.
    """
    lead = record[along]
    if not isinstance(lead, list):
        raise Malformed(f"{along!r} is no list")
    count = len(lead)
    if count * len(record) > MOST_CELLS:
        raise Malformed(f"a table stored as lists, of more than {MOST_CELLS:,} cells")
    columns = {k: v if isinstance(v, list) else [v] * count for k, v in record.items()}
    names = [name for name, column in columns.items() if len(column) == count]
    for _ in range(len(columns) - len(names)):
        yield f"column of another length than {along!r}, in a table stored as lists"
    for row in zip(*(columns[name] for name in names), strict=True):
        yield dict(zip(names, row, strict=True))
