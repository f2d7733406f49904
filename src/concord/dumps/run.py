"""One run: what lies at a path, and what was concluded about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from concord.core.errors import DumpError
from concord.dumps.formats.base import Rollout
from concord.dumps.grouping import WINDOW_ROWS, Layout
from concord.dumps.infer import Rewards, find_layout, find_rewards, logged_rewards
from concord.dumps.source import Source


@dataclass
class Run:
    """A source, and how to read it.

    Attributes:
        source: the files and their format.
        label: the run's name where the rollouts do not say.
        alone: whether there is no other run.
        rewards, layout: what a sample showed.
        sample: some rollouts from all over the files.
        inferred: sentences on the above.
    """

    source: Source
    label: str
    alone: bool
    rewards: Rewards
    layout: Layout
    sample: list[Rollout]
    inferred: list[str]

    @classmethod
    def open(
        cls,
        path: Path,
        label: str,
        alone: bool,
        *,
        rewards: Sequence[str] | None,
        group_by: Sequence[str] | None,
        columns: Mapping[str, str] | None,
    ) -> Run:
        """Look at a path: see ``open_dump``.

        Raises:
            DumpError: nothing there can be read as rollouts with rewards.
        """
        source = Source.open(path, columns, group_by, rewards)
        first, sample = source.sample()
        logged = logged_rewards(path) if source.format.repeats else []
        try:
            found = find_rewards(source.format, sample, rewards, logged, "CSV" in source.files.values())
        except DumpError as error:
            raise DumpError(f"{path} ({source.format.name}): {error}") from None
        layout = find_layout(source.format, first, group_by is not None)
        notes = [*found.inferred, *_grouping(source, first, layout), *_steps(source, first), *_configurations(first)]
        return cls(source, label, alone, found, layout, sample, notes)

    @property
    def prefix(self) -> str:
        """What sentences about this run begin with."""
        return "" if self.alone else f"{self.label}: "

    @property
    def known(self) -> frozenset[str]:
        """Names that need no word: what the sample had, and what is never a reward."""
        format = self.source.format
        return frozenset(name for rollout in self.sample for name in rollout.values) | format.others

    def name(self, rollout: Rollout) -> str:
        """Which run a rollout is of: by its own word, distinct between paths."""
        if rollout.run is None or rollout.run == self.label:
            return self.label
        return rollout.run if self.alone else f"{self.label}/{rollout.run}"


def _grouping(source: Source, sample: Sequence[Rollout], layout: Layout) -> list[str]:
    apart = [f"rows of a group lie apart: each waits for the rest over {WINDOW_ROWS:,} rollouts"]
    notes = apart if layout.scattered else []
    if source.group_by is not None:
        return [f"grouped by {', '.join(source.group_by)}, as told", *notes]
    if sample[0].group is not None:
        return [f"grouped by {source.format.grouping}", *notes]
    if source.format.consecutive:
        size = f", {layout.size} rollouts each" if layout.size else ""
        return [f"no group id: grouped by runs of equal prompts within a step{size}"]
    return ["no group id: grouped by (step, prompt)", *notes]


def _configurations(rollouts: Sequence[Rollout]) -> list[str]:
    hashes = sorted({rollout.config for rollout in rollouts if rollout.config})
    return [f"configuration hash {', '.join(hashes)}"] if hashes else []


def _steps(source: Source, sample: Sequence[Rollout]) -> list[str]:
    if sample[0].step is None:
        return ["no step, neither in the rows nor in the files' names: all count as step 0"]
    return ["steps are taken from the files' or folders' names"] if source.steps_from_names else []
