"""Methods for trajectories of several turns: each turn is a row of the batch, the prompt its group."""

from __future__ import annotations

from typing import Literal

from concord.core.catalogue import Card, register
from concord.core.chain import Chain
from concord.core.errors import ConfigError
from concord.methods.method import Method
from concord.methods.numerics import Numerics, constants
from concord.objectives import Clip, PolicyObjective, SequenceMean, SequenceRatio, TokenMean
from concord.stages import (
    DiscountToEnd,
    GroupNormalize,
    InformationGain,
    NormalizeByTag,
    NormalizeEndsApart,
    Sum,
    SumLaterTurns,
    Weigh,
)
from concord.stages.combine import Weights


@register(
    Card(
        title="RLVMR: Reinforcement Learning with Verifiable Meta-Reasoning Rewards for Robust Long-Horizon Agents",
        arxiv="2507.22844",
        formula="A = (R - mean_group(R)) / std_group(R) + w * (r - mean_tag(r)) / std_tag(r)",
        code="zzjweb/digitalhuman@789ccd6 (RLVMR/code/rlvmr/core_rlvmr.py, a mirror of Tencent/DigitalHuman)",
        parity="authors' numbers of mean_std_norm to 1e-5",
    )
)
def rlvmr(*, step_reward: str | None = None, weights: Weights = (), clip: float = 0.2) -> Method:
    """RLVMR: how the episode went, and how each step did among steps of its kind.

        A[n] = (R[n] - mean_g(R)) / (std_g(R) + 1e-6) + w * (r[n] - mean(r)) / (std(r) + 1e-6)

    R is the episode's outcome and stands on each of its rows; the statistics of the step reward r are over the rows of
    the group whose ``tag`` is the same (planning, exploring, reflecting, none).

    Args:
        step_reward: the name of the reward of single steps; None = the last one. The others are outcomes, each
            normalised in the group by itself.
        weights: on the normalised rewards, by name; 1 where not named, as in the authors' scripts. The paper's even mix
            has the same direction at half the size.
        clip: bound on the ratio, both ways; a dual clip of 3 as in verl.

    A step that is alone of its kind, or an episode alone in its group, gives 0; in the authors' code the raw reward.
    Long episodes have more rows and weigh more in the group's mean, as in the code. The rules that score a step (a plan
    counts if the episode succeeds, an exploration if the action is new, ...) belong to the environment.
    Source: arXiv:2507.22844.
    """
    return Method(
        Chain((NormalizeByTag(step_reward), Weigh(weights), Sum())),
        PolicyObjective(surrogate=Clip(clip, clip, 3.0), reduce=TokenMean()),
    )


@register(
    Card(
        title="Information Gain-based Policy Optimization: A Simple and Effective Approach for Multi-Turn LLM Agents",
        arxiv="2510.14967",
        formula="A_t = sum_{k >= t} gamma^(k-t) z_k, z the group's z-scores of the gains p_t - p_{t-1} and the outcome",
        code="GuoqingWang1/IGPO@49a8c4e (core_algos.py)",
        parity="authors' numbers, joint and separate, to 1e-5",
        needs=("the log-probability of the right answer before and after each turn",),
    )
)
def igpo(
    *,
    norm: Literal["joint", "separate"] = "joint",
    gamma: float = 1.0,
    weights: Weights = (),
    clip: float = 0.2,
) -> Method:
    """IGPO: a turn is worth what it adds to the probability of the right answer.

        r[t] = p[t] - p[t - 1]   before the last turn,  the outcome at the last      p = exp(answer_logp)
        z = (r - mean_g) / (std_g + 1e-6)      over all turns of all trajectories of the prompt
        A[t] = z[t] + gamma * A[t + 1]

    The engine scores the right answer after each turn, as the column ``answer_logp`` [N, 2]: its mean log-probability
    before the turn and after it. The outcome stands on each row of its trajectory; that of the last turn is read.

    Args:
        norm: "joint" as above; "separate" standardises gains and outcomes apart.
        gamma: discount for each turn.
        weights: reward weights by name; 1 where not named.
        clip: bound on the ratio, both ways.

    Rows with one advantage for each of their tokens, and a mean over tokens, are the authors' layout of one row a
    trajectory. Their code takes a gain of exactly 0 for no turn at all; here it is a turn. Their deviation is
    sqrt(var + 1e-8), which differs by less than 1e-6 where it is above 0.1; a trajectory without an answer's format
    scores -2 there, which is the reward's business here.
    Source: arXiv:2510.14967.
    """
    if norm not in ("joint", "separate"):
        raise ConfigError(f"norm must be 'joint' or 'separate', got {norm!r}")
    normalize = GroupNormalize(1e-6, ddof=0) if norm == "joint" else NormalizeEndsApart(1e-6)
    return Method(
        Chain((Weigh(weights), Sum(), InformationGain(), normalize, SumLaterTurns(gamma))),
        PolicyObjective(surrogate=Clip(clip, clip), reduce=TokenMean()),
    )


@register(
    Card(
        title="IterResearch: Rethinking Long-Horizon Agents via Markovian State Reconstruction",
        arxiv="2511.07327",
        formula="GSPO with A = (r - mean_group(r)) / (std_group(r) + eps), r_t = gamma^(T-t) R_T, over all rounds",
        certainty="low",
    )
)
def eapo(
    *,
    gamma: float = 0.995,
    weights: Weights = (),
    clip_low: float = 3e-4,
    clip_high: float = 4e-4,
    numerics: Numerics = "verl",
) -> Method:
    """EAPO: of two trajectories that succeed, the shorter is worth more.

        r[t] = gamma^(T - t) * R,      A[t] = (r[t] - mean_g) / (std_g + eps)      over the rounds of all trajectories

    Each round is a prompt and a response of its own; the outcome R stands on each round of its trajectory.

    Args:
        gamma: discount for each round that was still to come. Assumed: the value was not found in a public text.
        weights: reward weights by name; 1 where not named.
        clip_low, clip_high: bounds on the response's ratio, GSPO's.
        numerics: "verl" (eps 1e-6) or "trl" (eps 1e-4).

    A group whose outcomes are all equal still prefers late rounds and short trajectories. The paper also draws a subset
    whose size the number of devices divides; the engines here take any number.
    Source: arXiv:2511.07327, from descriptions of it: no code was found.
    """
    return Method(
        Chain((Weigh(weights), Sum(), DiscountToEnd(gamma), GroupNormalize(constants(numerics).eps))),
        PolicyObjective(SequenceRatio(), Clip(clip_low, clip_high), SequenceMean()),
    )
