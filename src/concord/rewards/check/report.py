"""The contract of reward functions, checked: all that was found, reward by reward."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from concord.core.errors import ConfigError
from concord.rewards.batch import RewardBatch
from concord.rewards.check import scores
from concord.rewards.check.finding import FAULT, WARNING, Finding
from concord.rewards.check.gates import gated
from concord.rewards.check.measure import Measured, measure, steps
from concord.rewards.check.robustness import robustness
from concord.rewards.check.sameness import sameness
from concord.rewards.check.timing import timing
from concord.rewards.named import NamedReward
from concord.rewards.source import Source

TIMEOUT = 10.0
"""Seconds that a call may take where nothing else is said."""

Progress = Callable[[int, int], None]
"""Called with how often functions have been asked, and how often they will be."""


@dataclass(frozen=True)
class Report:
    """What the checks of one reward found.

    Attributes:
        reward: its name.
        form: how its function is called, and how that was found out.
        findings: in the order in which they are shown.
    """

    reward: str
    form: str
    findings: tuple[Finding, ...]

    @property
    def faults(self) -> int:
        """How many findings are faults."""
        return sum(finding.verdict == FAULT for finding in self.findings)

    @property
    def warnings(self) -> int:
        """How many findings are warnings."""
        return sum(finding.verdict == WARNING for finding in self.findings)


def check(
    rewards: Sequence[NamedReward],
    batch: RewardBatch,
    *,
    stated: tuple[float, float] | None = None,
    timeout: float = TIMEOUT,
    progress: Progress = lambda done, total: None,
) -> list[Report]:
    """Ask reward functions about a batch in several ways, and about difficult text, and judge what they say.

    A function that another process can import runs in one, with a time limit, so that it may hang or die. One
    that cannot (a lambda, a model) runs in this process, where nothing stops it. Rewards of equal sources are asked
    together. Scores are judged as they count, after scale and clamp, before gates; faults show whatever ``on_error``
    says.

    Args:
        rewards: with distinct names.
        batch: the completions; :func:`concord.rewards.check.rows.make_batch` makes one of rows.
        stated: the least and the greatest score that is right; None = any.
        timeout: seconds for a call, where the reward itself has no limit.
        progress: see :data:`Progress`.

    Raises:
        ConfigError: a form that is not known, or does not take the function.
        MissingColumn: a function reads a column that the batch lacks.
    """
    sources: list[list[NamedReward]] = []
    for reward in rewards:
        limited = replace(reward, source=_limited(reward.source, timeout))
        same = next((group for group in sources if group[0].source == limited.source), None)
        if same is None:
            sources.append([limited])
        else:
            same.append(limited)
    total, done = sum(steps(group, batch) for group in sources), 0

    def tick() -> None:
        nonlocal done
        done += 1
        progress(done, total)

    measured: dict[str, Measured] = {}
    for group in sources:
        found = measure(group, batch, tick)
        measured |= {reward.name: found for reward in group}
    gates = gated(rewards, {name: _column(name, found) for name, found in measured.items()})
    return [
        Report(reward.name, found.form, (*_judged(reward.name, found, stated), *gates.get(reward.name, ())))
        for reward in rewards
        for found in [measured[reward.name]]
    ]


def _judged(name: str, measured: Measured, stated: scores.Range | None) -> list[Finding]:
    returned = [scores.calls(name, measured), scores.shape(name, measured), scores.values(name, measured)]
    rounds = measured.rounds
    if rounds is None:
        return returned[:1]  # the rest would be told from too little
    spread = scores.spread(name, measured, stated)
    return [
        *returned,
        *([] if spread is None else [spread]),
        scores.signal(name, measured),
        *sameness(name, measured, rounds),
        timing(measured.size, rounds),
        *robustness(name, measured.cases, stated),
    ]


def _column(name: str, measured: Measured) -> list[float | None]:
    """The score of each row; None where there is none."""
    found = measured.alone if measured.rounds is None else measured.rounds.whole
    return [found.scores[name][row].value if row in found.scores[name] else None for row in range(measured.size)]


def _limited(source: Source, timeout: float) -> Source:
    """The source with a time limit, where it has none and can be stopped."""
    if source.limits.timeout is not None:
        return source
    if not getattr(source.target, "waits", False):
        try:
            source.importable()
        except ConfigError:
            return source
    return replace(source, limits=replace(source.limits, timeout=timeout))
