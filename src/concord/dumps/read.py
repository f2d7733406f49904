"""Reading a dump: which format it is in, and its groups one after another."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from concord.core.errors import DumpError
from concord.dumps.files import size_of
from concord.dumps.grouping import Grouper
from concord.dumps.infer import check_wanted
from concord.dumps.meter import Meter
from concord.dumps.notes import Columns, Repeats, sentences, settle, size_sentences
from concord.dumps.rows import GroupRows
from concord.dumps.run import Run
from concord.dumps.values import text


@dataclass
class Dump:
    """Rollouts on disk, group by group; may be gone through more than once.

    Attributes:
        format: what the files were taken for.
        rewards: the K names, the order of ``GroupRows.scores``.
        inferred: what was concluded, a sentence each; complete once iteration has ended.
        missing: what the dump does not hold, and which setting of the framework would keep it.
        skipped: lines, rows and files that were not read, by reason; complete once iteration has ended.
        size: bytes of all files; ``position`` goes from 0 to it while iterating.
    """

    format: str
    rewards: tuple[str, ...]
    inferred: list[str]
    missing: list[str]
    skipped: Counter[str]
    size: int
    _runs: Sequence[Run] = field(repr=False)
    _meter: Meter = field(default_factory=Meter, repr=False)

    def __post_init__(self) -> None:
        self._opening = tuple(self.inferred), Counter(self.skipped)
        self.inferred += settle(self.skipped)

    @property
    def position(self) -> int:
        """Bytes read so far, of ``size``."""
        return self._meter.position

    def __iter__(self) -> Iterator[GroupRows]:
        self._meter = Meter()
        self.inferred[:] = self._opening[0]
        self.skipped.clear()
        self.skipped.update(self._opening[1])
        sizes: Counter[int] = Counter()
        for run in self._runs:
            grouper = Grouper(self.rewards, run.layout, self.skipped)
            columns = Columns(run.rewards.names, run.known)
            yield from self._groups(run, grouper, columns)
            self.inferred += [run.prefix + sentence for sentence in sentences(grouper, columns)]
            sizes += grouper.sizes
        self.inferred += [*size_sentences(sizes), *settle(self.skipped)]

    def _groups(self, run: Run, grouper: Grouper, columns: Columns) -> Iterator[GroupRows]:
        repeats = Repeats() if run.source.format.repeats else None
        for group in self._closed(run, grouper, columns):
            if repeats is not None and repeats.again(group):
                self.skipped["rollout that the step before has logged already"] += len(group.completions)
            else:
                yield group

    def _closed(self, run: Run, grouper: Grouper, columns: Columns) -> Iterator[GroupRows]:
        for file in run.source.files:
            self._meter.open(size_of(file))
            for rollout in run.source.rollouts_in(file, self.skipped, self._meter):
                columns.see(rollout)
                yield from grouper.add(rollout, run.name(rollout), rollout.step or 0)
            if run.source.format.whole_files:
                yield from grouper.close()
            self._meter.close()
        yield from grouper.close()


def open_dump(
    paths: str | Path | Sequence[str | Path],
    *,
    rewards: Sequence[str] | None = None,
    group_by: Sequence[str] | None = None,
    columns: Mapping[str, str] | None = None,
) -> Dump:
    """Open the rollouts of one run, or of several to compare.

    The format is told from the content of the files, never from their names. Files of a folder are
    read in the order of the numbers in their names. Of the rollouts, one group is in memory; where a
    group's rows lie apart, at most 65,536 rollouts wait for the rest of theirs.

    Args:
        paths: a file or folder, or several, each of which is a run.
        rewards: the names of the rewards; None infers them, and says so in ``inferred``.
        group_by: columns whose values make up a group's id, in place of the format's own; "step",
            "prompt" and "run" are known in every format. Rollouts of different steps are never of one
            group.
        columns: for a table in no known format, which column is what: "prompt", "completion",
            "group", "step", "run", "advantage", "keep", "length", "truncated".

    Raises:
        DumpError: nothing can be read, or what is named does not occur.
        MissingExtra: a Parquet file needs pyarrow, which is not installed.
    """
    places = _places(paths)
    runs = [
        Run.open(path, label, len(places) == 1, rewards=rewards, group_by=group_by, columns=columns)
        for path, label in zip(places, _labels(places), strict=True)
    ]
    if rewards is not None:
        check_wanted(rewards, [run.rewards for run in runs], [run.sample for run in runs])
    names = rewards if rewards is not None else dict.fromkeys(name for run in runs for name in run.rewards.names)
    return Dump(
        format=" + ".join(dict.fromkeys(run.source.format.name for run in runs)),
        rewards=tuple(names),
        inferred=[run.prefix + sentence for run in runs for sentence in run.inferred],
        missing=list(dict.fromkeys(sentence for run in runs for sentence in run.rewards.missing)),
        skipped=sum((run.source.skipped for run in runs), Counter()),
        size=sum(run.source.size for run in runs),
        _runs=runs,
    )


def _places(paths: str | Path | Sequence[str | Path]) -> list[Path]:
    places = [Path(path) for path in ([paths] if isinstance(paths, str | Path) else paths)]
    if not places:
        raise DumpError("no path was given")
    try:
        real = [Path(os.path.realpath(path)) for path in places]
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise DumpError(f"a path cannot be opened: {error}") from error
    for i, one in enumerate(real):
        for other in real[:i]:
            if one.is_relative_to(other) or other.is_relative_to(one):
                raise DumpError(f"{one} and {other}: one lies in the other, and would be counted twice")
    return places


def _labels(places: Sequence[Path]) -> list[str]:
    """The shortest ends of the paths that tell them apart."""
    real = [Path(os.path.realpath(path)) for path in places]
    for depth in range(1, max(len(path.parts) for path in real)):
        labels = [text("/".join(path.parts[-depth:])) for path in real]
        if len(set(labels)) == len(labels):
            return labels
    return [str(path) for path in real]
