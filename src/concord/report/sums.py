"""What one batch adds to the sums."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from concord.core.groups import Groups
from concord.core.moments import group_sum
from concord.report.batches import Span
from concord.report.chance import OPPOSED, Chance, group_correlations
from concord.report.measure import TAU, Measured, MethodKey, standardised
from concord.report.tally import Moments, Named, Products, Range, Tally


@dataclass(frozen=True, eq=False)
class RewardSums(Tally):
    """Each field ``[K]``, or a record of such: see :class:`concord.report.analysis.Reward`.

    Attributes:
        scores: of the scores, less a fixed shift (against cancellation of digits).
        range: of the scores.
        std: over groups with two scores or more, of the deviation inside them.
        dead: of these groups, how many the reward does not tell apart.
        gross: sum |x_k|.
        raw: sum |w_k (r_k - mean of the group)|.
        net: sum sign(S) x_k.
        weight: the weight, once for each rollout.
        length: over groups, of the correlation with the response's length inside the group.
    """

    scores: Moments
    range: Range
    std: Moments
    dead: Tensor
    gross: Tensor
    raw: Tensor
    net: Tensor
    weight: Tensor
    length: Moments

    @classmethod
    def of(cls, m: Measured, shift: Tensor) -> RewardSums:
        live = m.scores.isfinite()
        compared = m.moments.counted >= 2
        with_length = torch.cat([m.z, standardised(m.batch.lengths, m.groups)], 1)
        correlations = group_correlations(with_length, m.groups)[:, :-1, -1]
        return cls(
            Moments.of(m.scores - shift, live),
            Range.of(m.scores, live),
            Moments.of(m.moments.std, compared),
            (m.moments.flat & compared).sum(0),
            m.x.abs().sum(0),
            (m.moments.centred.nan_to_num() * m.weights).abs().sum(0),
            (m.net.sign()[:, None] * m.x).sum(0),
            m.weights * len(m.scores),
            Moments.of(correlations, correlations.isfinite()),
        )


@dataclass(frozen=True, eq=False)
class ConflictSums(Tally):
    """Each field 0-d: see :class:`concord.report.analysis.Conflict`.

    Attributes:
        rollouts, scored, mixed: counts; mixed_chance is the mean over shuffles.
        gross, net, net_chance: sum sum_k |x_k|, sum |S|, and that of the shuffled.
        groups, speaking: groups, and those with any signal.
        excess, excess_square, excess_gross, gross_square: over groups, sums of e, e^2, e t and t^2,
            where t is a group's gross signal and e how much more of it cancels than by chance.
        gain: over steps with signal.
        gains: ``[1]``, the range of these.
        truncated: of the responses that say so.
        length: of the responses.
    """

    rollouts: Tensor
    scored: Tensor
    mixed: Tensor
    mixed_chance: Tensor
    gross: Tensor
    net: Tensor
    net_chance: Tensor
    groups: Tensor
    speaking: Tensor
    excess: Tensor
    excess_square: Tensor
    excess_gross: Tensor
    gross_square: Tensor
    gain: Moments
    gains: Range
    truncated: Moments
    length: Moments

    @classmethod
    def of(cls, m: Measured, chance: Chance) -> ConflictSums:
        gross, net, net_chance = (per_group(v, m.groups) for v in (m.gross, m.net.abs(), chance.net))
        excess = net_chance - net
        gain = m.chosen("gdpo").gain
        return cls(
            torch.tensor(len(m.scored)),
            m.scored.sum(),
            m.mixed.sum(),
            chance.mixed,
            gross.sum(),
            net.sum(),
            net_chance.sum(),
            torch.tensor(m.groups.count),
            (gross > 0).sum(),
            excess.sum(),
            excess.square().sum(),
            (excess * gross).sum(),
            gross.square().sum(),
            Moments.of(gain, gain.isfinite()),
            Range.of(gain[:, None], gain[:, None].isfinite()),
            Moments.of(m.batch.truncated, m.batch.truncated.isfinite()),
            Moments.of(m.batch.lengths, m.batch.lengths.isfinite()),
        )


@dataclass(frozen=True, eq=False)
class PairSums(Tally):
    """Each field ``[K, K]``: see :class:`concord.report.analysis.Pair`.

    Attributes:
        raw: of the scores, less the shift.
        within: sum z_k z_l, turned round where the weight is negative.
        agree, both: sum of the product of their signs, and of its magnitude.
        correlation: over groups in which both vary, of the correlation inside the group.
        opposed: of these groups, how many have one below 0; opposed_chance is the mean over shuffles.
    """

    raw: Products
    within: Tensor
    agree: Tensor
    both: Tensor
    correlation: Moments
    opposed: Tensor
    opposed_chance: Tensor

    @classmethod
    def of(cls, m: Measured, shift: Tensor, chance: Chance) -> PairSums:
        signs = m.pulls.sign()
        correlations = group_correlations(m.pulls, m.groups)
        return cls(
            Products.among(m.scores - shift),
            m.pulls.T @ m.pulls,
            signs.T @ signs,
            signs.abs().T @ signs.abs(),
            Moments.of(correlations, correlations.isfinite()),
            (correlations < OPPOSED).sum(0),
            chance.opposed,
        )


@dataclass(frozen=True, eq=False)
class SelectionSums(Tally):
    """Each field ``[M]``, one entry a method: see :class:`concord.report.analysis.Selection`.

    Attributes:
        scored, kept: rollouts.
        groups, emptied: groups with a scored rollout, and those of them of which nothing is kept.
        share: over these groups, sum of the share kept.
        gross, net: sum sum_k |x_k| and sum |S| over the kept.
        gdpo, dump: of the advantages with GDPO's, and with the dump's.
    """

    scored: Tensor
    kept: Tensor
    groups: Tensor
    emptied: Tensor
    share: Tensor
    gross: Tensor
    net: Tensor
    gdpo: Products
    dump: Products

    @classmethod
    def of(cls, m: Measured, methods: Sequence[MethodKey]) -> SelectionSums:
        chosen = [m.chosen(*method) for method in methods]
        keep = torch.stack([c.keep for c in chosen], 1).double()  # [N, M]
        advantages = torch.stack([c.advantages for c in chosen], 1)
        advantages = torch.where(m.scored[:, None], advantages, torch.nan)
        scored = per_group(m.scored, m.groups)[:, None]
        kept = group_sum(keep, m.groups)
        there = (scored > 0).double()
        every = torch.ones(len(methods), dtype=torch.float64)
        return cls(
            m.scored.sum() * every,
            kept.sum(0),
            there.sum() * every,
            ((kept == 0) * there).sum(0),
            (kept / scored.clamp(min=1)).sum(0),
            (keep * m.gross[:, None]).sum(0),
            (keep * m.net.abs()[:, None]).sum(0),
            Products.of(advantages, m.chosen("gdpo").advantages[:, None]),
            Products.of(advantages, m.batch.advantages[:, None]),
        )


@dataclass(frozen=True, eq=False)
class Sums(Tally):
    """All that one batch, or many, add up to."""

    rewards: RewardSums
    conflict: ConflictSums
    pairs: PairSums
    selections: SelectionSums

    @classmethod
    def of(cls, m: Measured, shift: Tensor, methods: Sequence[MethodKey]) -> Sums:
        """What a batch adds. ``shift [K]`` must be the same for all that is to be added up."""
        chance = Chance.of(m)
        return cls(
            RewardSums.of(m, shift),
            ConflictSums.of(m, chance),
            PairSums.of(m, shift, chance),
            SelectionSums.of(m, methods),
        )


@dataclass(frozen=True, eq=False)
class StepSums(Tally):
    """What the course of a run is drawn from: see :class:`concord.report.analysis.StepPoint`.

    Attributes:
        rollouts, scored, kept, mixed: counts; kept by GD2PO at ``TAU``.
        scores: ``[K]``, less the shift.
        std, dead: ``[K]``, over groups with two scores or more.
        gross: ``[K]``, sum |x_k|.
        net: sum |S|.
        gain, length: of GDPO's batch step, of the responses.
        learner: what a learner measured, groups counting alike.
    """

    rollouts: int
    scored: Tensor
    kept: Tensor
    mixed: Tensor
    scores: Moments
    std: Moments
    dead: Tensor
    gross: Tensor
    net: Tensor
    gain: Moments
    length: Moments
    learner: Named

    @classmethod
    def of(cls, m: Measured, shift: Tensor, place: int, span: Span) -> StepSums:
        """The sums of the batch's step number ``place``."""
        rows, groups = slice(span.start, span.stop), slice(span.first, span.last)
        scores, lengths = m.scores[rows], m.batch.lengths[rows]
        compared = m.moments.counted[groups] >= 2
        gain = m.chosen("gdpo").gain[place : place + 1]
        return cls(
            span.stop - span.start,
            m.scored[rows].sum(),
            (m.chosen("gd2po", TAU).keep & m.scored)[rows].sum(),
            m.mixed[rows].sum(),
            Moments.of(scores - shift, scores.isfinite()),
            Moments.of(m.moments.std[groups], compared),
            (m.moments.flat[groups] & compared).sum(0),
            m.x[rows].abs().sum(0),
            m.net[rows].abs().sum(),
            Moments.of(gain, gain.isfinite()),
            Moments.of(lengths, lengths.isfinite()),
            Named.of(member.learner for member in m.batch.members[groups]),
        )


def per_group(values: Tensor, groups: Groups) -> Tensor:
    """``[N] -> [P]``: sums over groups."""
    return group_sum(values[:, None].double(), groups)[:, 0]
