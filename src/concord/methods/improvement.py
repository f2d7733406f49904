"""PIPO: whether the last update helped decides whether it is made once more or taken back."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from concord.core.catalogue import Card, register
from concord.core.chain import Chain
from concord.core.errors import BatchError, ConfigError
from concord.core.rollouts import Rollouts
from concord.core.signal import Outcome, Push, masked_mean
from concord.functional.progress import progress, shares
from concord.methods.method import Method
from concord.methods.registry import create
from concord.stages import Sum, Weigh
from concord.stages.combine import Weights


class Past(NamedTuple):
    """What is remembered of the steps before.

    Attributes:
        means: ``[K]`` mean rewards of the last K batches, NaN where there was none.
        push: ``(a, columns)`` of the last batch's loss, a in units of each group's mean magnitude; None at the start.
        chain: the state of the base method's chain.
    """

    means: Tensor
    push: Push | None
    chain: tuple[Any, ...]


class Step(NamedTuple):
    """What a step asks for.

    Attributes:
        again: for the rollouts of the batch before, to be trained on first; None at the first step. All 0 until the
            history is full.
        outcome: of the base method, for the batch at hand; its metrics have ``pipo/progress`` too.
        past: for the next step, and to checkpoint.
    """

    again: Push | None
    outcome: Outcome
    past: Past


@dataclass(frozen=True)
class PolicyImprovement:
    """A method with PIPO's second update, on the batch before.

        xi = (mean reward - mean of the last K) / their deviation,     phi = xi if xi >= 0 else slack * xi
        C[i] = phi * G * A[i] / sum_g |A|       for the rollouts i of the batch before

    The engine keeps the last batch with its log-probabilities, and makes two updates a step: with the base method's
    loss on the last batch, its advantages replaced by C, then on the batch at hand. A step that helped is made once
    more, one that hurt is taken back in part.

    Attributes:
        method: the base.
        window: K, mean rewards that are remembered.
        slack: lambda, how much of a step that hurt is taken back.
        weights: of the rewards in the mean.

    Raises: ConfigError unless window >= 2 and slack >= 0, or for a base whose loss reads columns; BatchError at the
    first batch if the base tells the tokens of a response apart: C is one number a response.

    Example:
        >>> import torch
        >>> from concord import Groups
        >>> from concord.methods import grpo
        >>> pipo = PolicyImprovement(grpo(), window=2)
        >>> past = pipo.init()
        >>> for right in (1.0, 2.0, 3.0):
        ...     batch = Rollouts(torch.tensor([[right], [0.0]]), Groups.uniform(1, 2), ("right",))
        ...     again, outcome, past = pipo(batch, past)
        >>> again.advantages
        tensor([ 2.1213, -2.1213])
    """

    method: Method
    window: int = 8
    slack: float = 0.1
    weights: Weights = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "weights", Weigh(self.weights).weights)
        if self.window < 2:
            raise ConfigError(f"a deviation needs a window of at least 2 batches, got {self.window}")
        if not self.slack >= 0:
            raise ConfigError(f"slack must not be negative, got {self.slack}")
        if columns := sorted(self.method.objective.reads):
            raise ConfigError(
                f"the base's loss reads columns {columns} beside the advantages, in whose place C stands: it would say "
                "what it says without C"
            )

    def init(self) -> Past:
        """Before the first step."""
        return Past(torch.full((self.window,), torch.nan), None, self.method.signal.init())

    def __call__(self, batch: Rollouts, past: Past) -> Step:
        """Both updates of a step; pure, and without host sync.

        An empty batch leaves everything as it was, and asks for nothing again. One in which nothing was scored has no
        mean: it is not remembered among them, and repeats nothing.
        """
        outcome = self.method.signal(batch, past.chain)
        if len(batch.groups) == 0:
            return Step(None, outcome, past)
        if outcome.token_advantages is not None:
            raise BatchError("the base tells the tokens of a response apart, and C is one number a response")
        total = Chain((Weigh(self.weights), Sum()))(batch)
        mean = masked_mean(total.advantages.double(), total.keep)  # progress is a small difference of means
        means = past.means.to(mean)
        scored = total.keep.any()
        xi = torch.where(scored, progress(mean, means), 0)
        again = past.push
        if again is not None:
            factor = torch.where(xi >= 0, xi, self.slack * xi).to(again.advantages)
            again = Push(again.advantages.to(mean.device) * factor, again.columns)
        after = torch.where(scored, torch.cat([means[1:], mean[None]]), means)
        push = Push(shares(outcome.advantages, batch.groups), outcome.columns)
        outcome = _measured(outcome, {"pipo/progress": xi, "pipo/mean": mean})
        return Step(again, outcome, Past(after, push, outcome.state))


def _measured(outcome: Outcome, metrics: Mapping[str, Tensor]) -> Outcome:
    return dataclasses.replace(outcome, metrics={**outcome.metrics, **metrics})


@register(
    Card(
        title="PIPO: Policy Improvement Policy Optimization",
        arxiv="2604.00860",
        formula="a second update on the batch before, with C = phi(xi) * G * A / sum_group |A|, xi the progress since",
        code="JacckMa/pipo_verl@7f48e23 (layback_utils.py)",
        parity="authors' coefficients to 1e-5, up to the deviation's sqrt(K / (K - 1))",
        kind="strategy",
        needs=("the batch before",),
    )
)
def pipo(
    *,
    base: str = "grpo",
    base_args: Mapping[str, Any] | None = None,
    window: int = 8,
    slack: float = 0.1,
    weights: Weights = (),
) -> PolicyImprovement:
    """PIPO: after each update, look whether the reward has risen; if so make it once more, if not take some of it back.

        xi = (mean reward - mean of the last K) / their deviation,     phi = xi if xi >= 0 else slack * xi
        C[i] = phi * G * A[i] / sum_g |A|       for the rollouts i of the batch before

    :class:`PolicyImprovement` says how a loop uses it; for TRL there is
    ``concord.engines.trl.improvement.ImprovingTrainer``.

    Args:
        base, base_args: the method, and its other parameters.
        window: K; until it is full nothing is repeated.
        slack: lambda, how much of a step that hurt is taken back.
        weights: reward weights by name, of the base and of the mean reward.

    Differences from the authors' code: it takes the population's deviation (xi larger by 7 % at K = 8), clips the
    progress to 5 and C to 10, and adds 1e-6 to the sum of magnitudes. Its loss on the batch before takes the smaller of
    the ratio and the clipped one before it multiplies by C, so the lower bound of the clip never acts; here that is the
    base's own clip, as in the paper. One of its trainers counts the batch at hand into the history; here, as in the
    paper, it is not.
    Source: arXiv:2604.00860.
    """
    return PolicyImprovement(create(base, weights=weights, **(base_args or {})), window, slack, weights)
