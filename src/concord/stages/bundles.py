"""Prompts bundled into papers, and papers judged by where they fall in the distribution of scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from concord.core.errors import BatchError, ConfigError
from concord.core.moments import group_moments
from concord.core.rollouts import Rollouts
from concord.core.signal import Signal
from concord.core.stage import Stage, State
from concord.functional.quantiles import linear_quantile
from concord.stages.one_group import one_group

EPS = 1e-6


@dataclass(frozen=True)
class BundleRisk(Stage):
    """RiskPO's advantage: B prompts are a bundle, their j-th responses a paper, and low papers count for more.

        R = the sum of the paper's scores,   ql and qu = quantiles of R at ``lower`` and ``upper``
        middle = (clamp(R, ql, qu) - ql) / (upper - lower + 1e-6)     (- qu in place of - ql with baseline "upper")
        tail = -max(ql - R, 0) / (lower + 1e-6)
        a = (weight * tail + middle) / (weight + 1) / (std of the bundle's R + 1e-6)

    and the responses of the paper share it out:

        credit "share":      A[n] = a * (r[n] - mean_g) / sum of (r - mean_g) over the paper; a / B where that is ~ 0
        credit "deviation":  A[n] = a / (std_g + 1e-6), std_g = 1 where it is at most 1e-3

    The quantiles are tracked over the steps: those of the first batch's papers, then q += lr * (level - share of the
    batch's papers below q), after q was used. In the first batch each bundle has its own.

    Bundles and papers go by the order of the prompts and of a prompt's responses; the last bundle may have fewer.

    Shapes: [N, 1] -> [N, 1].  Units: about 1 / the reward's.  State: ``[2]``, the two quantiles, NaN while there was no
    paper; None before the first step.  Columns: none.
    Metrics: ``below`` and ``above``, the shares of papers under ql and over qu; ``flat``, the share of bundles whose
    papers all scored alike.
    Raises: ConfigError for sizes, levels, weights or names out of their range; BatchError where there are several
    channels.
    Degenerate: only scored responses are in papers, as many papers as the prompt with the fewest of them allows; the
    rest get 0. A prompt without any leaves its bundle. A bundle whose papers all scored alike
    gives exactly 0 (the authors divide by 1e-6 there: 4e6 against tracked quantiles, in a batch of right and wrong).
    A lone paper is divided by 1. As in the authors' code the shares of a paper are large and of both signs
    where their sum is near 0, and "deviation" is loud where a group nearly agrees: 9e3 for scores 0.001 apart.
    Source: RiskPO, arXiv:2510.00911; RTkenny/RiskPO@65ec40c,
    ``compute_grpo_bundle_rvar_outcome_advantage_quantile_tracking``.

    Attributes:
        size: B, prompts in a bundle.
        lower, upper: the levels of the two quantiles.
        weight: of the tail against the middle.
        credit: how a paper's advantage is shared out, see above.
        baseline: what the middle is measured from: with "upper" no paper is pushed up, with "lower" none of those
            above ql is pushed down.
        lr: step size of the tracking, in the reward's units.
    """

    size: int = 5
    lower: float = 0.2
    upper: float = 0.8
    weight: float = 1.5
    credit: Literal["share", "deviation"] = "share"
    baseline: Literal["lower", "upper"] = "lower"
    lr: float = 0.1

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ConfigError(f"a bundle has at least one prompt, got size {self.size}")
        if not 0 < self.lower < self.upper < 1:
            raise ConfigError(f"need 0 < lower < upper < 1, got {self.lower} and {self.upper}")
        if not (self.weight >= 0 and self.lr >= 0):
            raise ConfigError(f"weight and lr must not be negative, got {self.weight} and {self.lr}")
        if self.credit not in ("share", "deviation"):
            raise ConfigError(f"credit must be 'share' or 'deviation', got {self.credit!r}")
        if self.baseline not in ("lower", "upper"):
            raise ConfigError(f"baseline must be 'lower' or 'upper', got {self.baseline!r}")

    def step(self, signal: Signal, batch: Rollouts, state: State) -> tuple[Signal, State]:
        if len(signal.channels) != 1:
            raise BatchError(f"papers are scored by one number, not by {signal.channels}; put BundleRisk after Sum()")
        papers = _papers(signal, batch, self.size)
        total, there = papers.total, papers.there
        levels = (self.lower, self.upper)
        before = total.new_full((2,), torch.nan) if state is None else state
        own = torch.stack([linear_quantile(total, there, level) for level in levels])
        q = torch.where(before.isnan()[:, None], own, before[:, None])
        advantage, flat = self._judged(papers, q)
        values = self._credited(advantage, papers, signal, batch)

        count = there.sum().clamp(min=1).to(total.dtype)
        shares = (there & (total < before[:, None, None])).sum((1, 2)) / count
        moved = before + self.lr * (total.new_tensor(levels) - shares)
        pooled = torch.stack([linear_quantile(total.flatten(), there.flatten(), level) for level in levels])
        after = torch.where(before.isnan(), pooled, torch.where(there.any(), moved, before))
        metrics = {
            "below": (there & (total < q[0])).sum() / count,
            "above": (there & (total > q[1])).sum() / count,
            "flat": flat.to(total.dtype).mean(),
        }
        return signal.to(values, metrics=metrics), after

    def _judged(self, papers: Papers, q: Tensor) -> tuple[Tensor, Tensor]:
        """The papers' advantages ``[G, M]``, and which bundles ``[M]`` are flat."""
        total, there = papers.total, papers.there
        middle = (total - q[0]).clamp(min=0) - (total - q[1]).clamp(min=0)
        if self.baseline == "upper":
            middle = middle + q[0] - q[1]
        tail = -(q[0] - total).clamp(min=0) / (self.lower + EPS)
        advantage = (self.weight * tail + middle / (self.upper - self.lower + EPS)) / (self.weight + 1)
        # Each bundle is a channel, and its papers one group.
        spread = group_moments(total, one_group(total), there, noise=papers.noise[None])
        counted = spread.counted[0]
        flat = spread.flat[0] & (counted > 1)
        advantage = advantage / (torch.where(counted == 1, 1, spread.std[0]) + EPS)
        return torch.where(there & ~flat, advantage, 0), flat

    def _credited(self, advantage: Tensor, papers: Papers, signal: Signal, batch: Rollouts) -> Tensor:
        """``[N, 1]``: each paper's advantage, handed to its responses."""
        moments = signal.moments(batch.groups)
        centred, std = moments.centred, moments.std
        if self.credit == "share":
            own = torch.where(papers.member, papers.of(centred, batch), 0)
            whole = own.sum(2)
            even = whole.abs() <= EPS
            share = own / torch.where(even, 1, whole)[..., None]
            equal = papers.member.sum(2).clamp(min=1).to(own.dtype).reciprocal()
            share = torch.where(even[..., None], equal[..., None], share)
        else:
            unit = papers.of(batch.groups.spread(torch.where(std > 1e-3, std, 1)), batch)
            share = 1 / (unit + EPS)
        given = torch.where(papers.member, advantage[..., None] * share, 0)
        return torch.where(signal.live, papers.back(given, batch), signal.values)


class Papers(NamedTuple):
    """Responses laid out as papers: G at most in a bundle, M bundles, B prompts in each.

    Attributes:
        member: ``[G, M, B]`` bool, where a response is part of a paper.
        there: ``[G, M]`` bool, the papers that there are.
        total: ``[G, M]``, their scores.
        noise: ``[M]``, how far from the mean of a bundle's papers is float noise.
        order: ``[G, P]`` int64, for each prompt its scored responses first, in their order.
    """

    member: Tensor
    there: Tensor
    total: Tensor
    noise: Tensor
    order: Tensor

    def of(self, x: Tensor, batch: Rollouts) -> Tensor:
        """Lay a fact about rollouts out by paper: ``[N, 1] -> [G, M, B]``."""
        return _bundled(batch.groups.lay(x)[..., 0].gather(0, self.order), self.member.shape[2])

    def back(self, block: Tensor, batch: Rollouts) -> Tensor:
        """From the papers back to the rollouts: ``[G, M, B] -> [N, 1]``."""
        prompts = block.flatten(1)[:, : self.order.shape[1]]
        return batch.groups.unlay(torch.zeros_like(prompts).scatter(0, self.order, prompts)[..., None])


def _papers(signal: Signal, batch: Rollouts, size: int) -> Papers:
    groups = batch.groups
    live = groups.lay(signal.live)[..., 0] & groups.there
    order = live.byte().argsort(dim=0, descending=True, stable=True)
    there = _bundled(live.gather(0, order), size)
    some = there.any(0)
    # A paper has a response of every prompt of its bundle that has any.
    whole = (there | ~some).all(2) & some.any(1)
    member = there & whole[..., None]
    scores = _bundled(groups.lay(signal.values)[..., 0].gather(0, order), size)
    noise = _bundled(signal.noise_in(groups).T, size).sum((0, 2))
    return Papers(member, whole, torch.where(member, scores, 0).sum(2), noise, order)


def _bundled(block: Tensor, size: int) -> Tensor:
    """``[G, P] -> [G, M, size]``, the last bundle filled up with zeros."""
    return pad(block, (0, -block.shape[1] % size)).reshape(len(block), -1, size)
