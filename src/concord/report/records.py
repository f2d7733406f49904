"""The records that an :class:`~concord.report.analysis.Analysis` is made of.

Every number is a share in [0, 1], a correlation in [-1, 1], or in the reward's own units. NaN means
that it could not be measured (no group of two, no length, nothing scored).

The words: ``z`` is a score standardised within its group (0 where the group is flat), ``x = w z`` is
what the reward contributes to the advantage, ``S = sum_k x_k`` is GDPO's advantage before the batch
step. Group statistics are those of :mod:`concord.stages` with the numerics "trl".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Severity = Literal["info", "warning", "serious"]


@dataclass(frozen=True)
class Finding:
    """One thing worth knowing, in words with numbers.

    Attributes:
        rule: the rule's short name, such as "opposed_rewards".
        severity: "info" to know, "warning" to look at, "serious" to act on.
        message: one sentence; reward names stand in backticks.
        threshold: when the rule speaks, in words.
        rewards: the rewards it is about.
        numbers: what the sentence is made from.
    """

    rule: str
    severity: Severity
    message: str
    threshold: str
    rewards: tuple[str, ...]
    numbers: Mapping[str, float]


@dataclass(frozen=True)
class Estimate:
    """A mean over groups, and how far chance alone may move it.

    Attributes:
        value: the mean.
        error: its standard error, from the spread between groups; NaN below two groups.
        groups: how many groups it is a mean of.
    """

    value: float
    error: float
    groups: int


@dataclass(frozen=True)
class Histogram:
    """Counts of values.

    Attributes:
        edges: the left edge of each bar, ascending; bars without a value are left out.
        counts: values in each bar.
        width: every bar's width; 0 = each bar is one exact value.
    """

    edges: tuple[float, ...]
    counts: tuple[int, ...]
    width: float


@dataclass(frozen=True)
class Trend:
    """The first third of the steps against the last.

    Attributes:
        first: mean over the first third.
        last: mean over the last third.
        error: standard error of the difference, from the spread between steps.
        steps: steps in a third (of :class:`StepPoint`, where steps are taken together).
    """

    first: float
    last: float
    error: float
    steps: int

    @property
    def change(self) -> float:
        """The last third's mean less the first's."""
        return self.last - self.first


@dataclass(frozen=True)
class Reward:
    """One reward.

    Attributes:
        name: its name.
        weight: its weight; the mean, where it changes over the run.
        statuses: share of rollouts by status: "scored", "abstained", "failed", "timed out",
            "invalid", and "not scored" where the dump does not say why.
        mean, std, low, high: of its scores, over all rollouts.
        at_low, at_high: share of its scores at exactly the lowest, the highest score seen.
        within_group_std: mean over groups of the standard deviation (Bessel) inside the group.
        dead_group_share: share of groups in which it does not vary. Of groups with two scores or more.
        share_of_advantage: sum |x_k| / sum over all rewards; the rewards' shares add up to 1.
        share_of_raw_sum: the same for w (r - mean of the group): its share where raw rewards are
            summed first, as in GRPO.
        effective_weight: sum sign(S) x_k / sum |S|: its part in where the advantage ends up. The
            rewards' parts add up to 1; below 0 the others overrule it.
        length_correlation: mean over groups of its correlation with the response's length.
        saturated_since: the step from which at least 90 % of its groups are dead, to the end of
            the run, if it was livelier before; else None.
        trend: of its mean over the run; None below 15 steps.
        verdict: one word: "optimised", "falling", "cancelled", "hacked", "dominant", "ignored",
            "saturated", "dead", "steady", "undecided" (too few steps) or "unmeasured".
        histogram: of its scores.
    """

    name: str
    weight: float
    statuses: Mapping[str, float]
    mean: float
    std: float
    low: float
    high: float
    at_low: float
    at_high: float
    within_group_std: float
    dead_group_share: float
    share_of_advantage: float
    share_of_raw_sum: float
    effective_weight: float
    length_correlation: Estimate
    saturated_since: int | None
    trend: Trend | None
    verdict: str
    histogram: Histogram

    @property
    def saturation(self) -> float:
        """The share of scores at one end of the observed range."""
        return max(self.at_low, self.at_high)


@dataclass(frozen=True)
class Pair:
    """Two rewards.

    Signs are those of the contributions: a reward of negative weight counts as its opposite.

    Attributes:
        first, second: their names.
        raw: Pearson correlation of the scores, over all rollouts.
        within: correlation of z, within groups: what the gradient sees.
        signs: mean of sign(z_1) sign(z_2), where both have a sign: 1 agree always, -1 never.
        groups: the groups in which both vary.
        opposed_groups: of these, the share whose correlation is below 0.
        opposed_by_chance: the same if the two had nothing to do with each other (one of them
            shuffled within its groups); about a half.
        correlation: mean over these groups of the correlation inside the group.
    """

    first: str
    second: str
    raw: float
    within: float
    signs: float
    groups: int
    opposed_groups: float
    opposed_by_chance: float
    correlation: Estimate


@dataclass(frozen=True)
class Conflict:
    """How far the rewards are at odds.

    "By chance" is what the same scores give when each reward is shuffled within its groups: rewards
    that know nothing of each other cancel too, 29 % with two of them, 50 % with four.

    Attributes:
        mixed_sign_share: share of scored rollouts that one reward pushes up and another down.
        mixed_sign_by_chance: the same, shuffled.
        cancelled_share: 1 - sum |sum_k x_k| / sum sum_k |x_k|.
        cancelled_by_chance: the same, shuffled.
        cancelled_excess: the difference of the two, with its error over groups.
        whitening_gain: mean over steps with signal of GDPO's batch step's multiplier.
        highest_gain: the largest of them.
        silent_groups: share of groups in which no reward says anything.
        names: the K rewards, the order of the matrices.
        raw, within, signs: the K x K matrices of :class:`Pair`'s numbers, 1 on the diagonal.
        pairs: every two rewards, the most opposed first.
    """

    mixed_sign_share: float
    mixed_sign_by_chance: float
    cancelled_share: float
    cancelled_by_chance: float
    cancelled_excess: Estimate
    whitening_gain: float
    highest_gain: float
    silent_groups: float
    names: tuple[str, ...]
    raw: tuple[tuple[float, ...], ...]
    within: tuple[tuple[float, ...], ...]
    signs: tuple[tuple[float, ...], ...]
    pairs: tuple[Pair, ...]


@dataclass(frozen=True)
class Query:
    """One prompt at one step.

    Attributes:
        run, step, key: which group; key is the reader's.
        prompt: its text, cut at ``Settings.text_limit`` characters.
        rollouts: the group's size.
        consensus: sum |S| / sum sum_k |x_k| over the group: 1 = nothing cancels.
        kept: share of its scored rollouts that GD2PO keeps at ``Settings.tau``.
    """

    run: str
    step: int
    key: str
    prompt: str
    rollouts: int
    consensus: float
    kept: float


@dataclass(frozen=True)
class Queries:
    """The prompts, by how far the rewards agree on them.

    Attributes:
        worst, best: the lowest consensus and the highest, at most ``Settings.queries`` each.
        consensus: histogram over groups with signal.
        kept: histogram over groups of the share kept.
    """

    worst: tuple[Query, ...]
    best: tuple[Query, ...]
    consensus: Histogram
    kept: Histogram


@dataclass(frozen=True)
class Selection:
    """What a method, at a threshold, would leave of these rollouts.

    Attributes:
        method: "gd2po", "gd2po_hard", "gdpo" or "grpo".
        tau: the threshold; None for a method without one.
        kept: share of scored rollouts kept.
        groups_emptied: share of groups of which nothing is kept.
        query_weight: mean over groups of the share kept.
        cancelled_share: of the signal of the kept rollouts, the share that cancels still.
        correlation_with_gdpo: of the final advantages with those of GDPO, dropped rollouts being 0.
        correlation_with_dump: of the final advantages with those in the dump; NaN without any.
    """

    method: str
    tau: float | None
    kept: float
    groups_emptied: float
    query_weight: float
    cancelled_share: float
    correlation_with_gdpo: float
    correlation_with_dump: float


@dataclass(frozen=True)
class StepPoint:
    """One step of one run, or several neighbouring ones where there are many.

    Attributes:
        run: whose; "" where several runs are pooled.
        step, last_step: the first and the last of its steps.
        rollouts: how many.
        mean, within_group_std, dead_group_share, share_of_advantage: by reward.
        mixed_sign_share, cancelled_share, whitening_gain: as in :class:`Conflict`.
        kept: share that GD2PO keeps at ``Settings.tau``.
        length: mean length of the responses, in ``Quality.length_unit``.
        learner: what a learner beside the policy measured, by name; empty without one.
    """

    run: str
    step: int
    last_step: int
    rollouts: int
    mean: Mapping[str, float]
    within_group_std: Mapping[str, float]
    dead_group_share: Mapping[str, float]
    share_of_advantage: Mapping[str, float]
    mixed_sign_share: float
    cancelled_share: float
    whitening_gain: float
    kept: float
    length: float
    learner: Mapping[str, float]


@dataclass(frozen=True)
class Quality:
    """How far the data can be trusted.

    Attributes:
        format: what the reader took the files for.
        inferred: what the reader had to guess, one sentence each.
        missing: what the dump does not hold, and which setting would keep it.
        skipped: lines or rows left out, by reason.
        group_sizes: groups by size, the commonest sizes first, at most 20.
        usual_size: the commonest group size.
        odd_groups: groups of another size.
        singletons: groups of one rollout, in which nothing can be compared.
        unscored: rollouts without any score.
        truncated_share: of the rollouts that say whether they were cut off; NaN if none does.
        length_unit: "tokens" where the dump has lengths, else "characters".
        mean_length: in that unit.
    """

    format: str
    inferred: tuple[str, ...]
    missing: tuple[str, ...]
    skipped: Mapping[str, int]
    group_sizes: Mapping[int, int]
    usual_size: int
    odd_groups: int
    singletons: int
    unscored: int
    truncated_share: float
    length_unit: str
    mean_length: float


@dataclass(frozen=True)
class ExampleRollout:
    """One rollout of an example.

    Attributes:
        completion: its text, cut at ``Settings.text_limit`` characters.
        cut: how many characters were left out.
        scores, z: by reward; NaN = not scored.
        mixed: whether one reward pushes it up and another down.
        consensus: sum_k x_k / sum_k |x_k|, signed.
        keep: whether GD2PO keeps it at ``Settings.tau``. At another tau it does unless it is mixed
            and |consensus| < tau (at tau = 1: unless it is mixed).
    """

    completion: str
    cut: int
    scores: Mapping[str, float]
    z: Mapping[str, float]
    mixed: bool
    consensus: float
    keep: bool


@dataclass(frozen=True)
class Example:
    """One of the groups on which the rewards agree least, rollout by rollout (at most 32 of them)."""

    query: Query
    rollouts: tuple[ExampleRollout, ...]


@dataclass(frozen=True)
class Settings:
    """How the analysis was made.

    Attributes:
        tau: the threshold of "kept" wherever no other is named.
        numerics: of the group statistics.
        text_limit: characters of a text that are held.
        queries: at most so many worst and best queries.
        batch_limit: rollouts of one step that are whitened together; larger steps in parts.
        step_width: steps in one :class:`StepPoint`.
        version: Concord's.
    """

    tau: float
    numerics: str
    text_limit: int
    queries: int
    batch_limit: int
    step_width: int
    version: str
