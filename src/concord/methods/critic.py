"""Methods with a critic: its values are the baseline, token by token."""

from __future__ import annotations

import dataclasses

from concord.core.catalogue import Card, register
from concord.core.chain import Chain
from concord.functional.filtration import Filter
from concord.learners import Critic
from concord.methods.method import Method
from concord.objectives import Clip, PolicyObjective, TokenMean
from concord.stages import FilterByRank, Gae, PlaceTurnRewards, Sum, Weigh, WhitenTokens
from concord.stages.combine import Weights


@register(
    Card(
        title="Proximal Policy Optimization Algorithms",
        arxiv="1707.06347",
        formula="A_t = whiten_batch(delta_t + gamma * lam * A_t'), delta_t = r_t + gamma * V_t' - V_t",
        code="verl-project/verl@b178a3c (core_algos.py)",
        parity="verl 0.9's numbers, with holes in the mask: advantages, returns and the critic's loss to 1e-5",
    )
)
def ppo(
    *,
    weights: Weights = (),
    gamma: float = 1.0,
    lam: float = 0.95,
    clip: float = 0.2,
    value_lr: float = 0.2,
    value_steps: int = 8,
    value_clip: float = 0.5,
    value_warmup: int = 0,
) -> Method:
    """PPO with generalized advantage estimation: a critic says what to expect at each token.

        delta[t] = r[t] + gamma * V[t'] - V[t],   A[t] = delta[t] + gamma * lam * A[t']      t' the next sampled token
        A = (A - mean) / sqrt(var + 1e-8)         over all tokens of the batch

    The reward lies on the last sampled token. The critic is a head on the policy's own states
    (:class:`concord.learners.Critic`), which Concord's trainer for TRL trains beside the policy. A loop of one's own
    may put the values of any other critic into the column ``values``, and train it towards the outcome's column
    ``returns`` (:func:`concord.functional.gae.value_loss`).

    Args:
        weights: reward weights by name; 1 where not named.
        gamma: discount for each token.
        lam: 1 = the return minus V (verl's default), 0 = the one-step error; 0.95 in the paper and in TRL.
        clip: bound on the ratio, both ways; a dual clip of 3 as in verl.
        value_lr: the critic's learning rate. 0.2 is a choice of ours, for a head on states.
        value_steps: its optimisation steps on each batch of rollouts. 8 is a choice of ours.
        value_clip: how far a value may move on one batch; verl's 0.5.
        value_warmup: generation steps in which the critic learns and the policy does not.

    A unanimous group has something to say: it did better or worse than the critic expected. A rollout's advantage in
    the outcome is the mean over its tokens. PPO as published has a network of its own as the critic, or shares the
    policy's and trains it for both; here the states are not trained for the values.
    Source: arXiv:1707.06347; the advantages, arXiv:1506.02438. A KL penalty is the engine's ``beta``, in the loss.
    """
    return Method(
        Chain((Weigh(weights), Sum(), Gae(gamma, lam), WhitenTokens())),
        PolicyObjective(surrogate=Clip(clip, clip, 3.0), reduce=TokenMean()),
        learner=Critic(value_lr, value_steps, value_clip, value_warmup),
    )


@register(
    Card(
        title="A Practitioner's Guide to Multi-turn Agentic Reinforcement Learning",
        arxiv="2510.01132",
        formula="PPO's A_t with r_t = turn reward / number of parts, at each turn's end",
        code="pearls-lab/meow-tea-taro@a9c248c",
        parity="the authors' numbers for two pairs of gamma and lambda, and for the placement, to 1e-6",
        needs=("rewards from the environment at each turn",),
    )
)
def turn_ppo(
    *,
    weights: Weights = (),
    most: int = 1,
    gamma: float = 1.0,
    lam: float = 0.95,
    clip: float = 0.2,
    value_lr: float = 0.2,
    value_steps: int = 8,
    value_clip: float = 0.5,
    value_warmup: int = 0,
) -> Method:
    """PPO over several turns, each paid where it ends: the "dense" placement of meow-tea-taro.

        r[t] = turn_rewards[t] / parts      parts = turn rewards above 0 if the trajectory succeeded, else ``most``
        A as in :func:`ppo`; tokens that the environment wrote are holes in the mask

    A rollout is a whole trajectory; ``response_mask`` is False on what the environment wrote. Column ``turn_rewards``,
    ``[N, T]``, is what it paid at each turn's last sampled token; with TRL a function of yours says so (``columns``).
    The reward says only whether it succeeded (above 0). Where nothing is paid on the way, :func:`ppo` is the "single"
    placement.

    Args:
        weights: reward weights by name; 1 where not named.
        most: how many turn rewards the environment can pay.
        gamma, lam: for each sampled token; they do not apply across what the environment wrote.
        clip: bound on the ratio, both ways.
        value_lr, value_steps, value_clip, value_warmup: of the critic, as in :func:`ppo`.

    Source: arXiv:2510.01132. The authors' code drops turns that end beyond the prompt's width; here none is.
    """
    return Method(
        Chain((Weigh(weights), Sum(), PlaceTurnRewards(most), Gae(gamma, lam), WhitenTokens())),
        PolicyObjective(surrogate=Clip(clip, clip, 3.0), reduce=TokenMean()),
        learner=Critic(value_lr, value_steps, value_clip, value_warmup),
    )


@register(
    Card(
        title="Policy Filtration for RLHF to Mitigate Noise in Reward Models",
        arxiv="2409.06957",
        formula="PPO's A_t times the expected number of draws of the rollout, by its rank in the group",
        code="swtheing/PF-PPO-RLHF@4550d44 (replay_buffer.py)",
        parity="authors' weights of select_min_max, select_max_random (G = 5) and put_weight, to 1e-6",
    )
)
def pf_ppo(
    *,
    rule: Filter = "best_worst",
    power: float = 2.0,
    weights: Weights = (),
    gamma: float = 1.0,
    lam: float = 0.95,
    clip: float = 0.2,
    value_lr: float = 0.2,
    value_steps: int = 8,
    value_clip: float = 0.5,
    value_warmup: int = 0,
) -> Method:
    """PF-PPO: train on the rollouts whose reward can be trusted, the best and the worst of each prompt.

        best (BoN)        w = 1 for the best of its group
        best_random (BR)  w = 1 for the best, 1 / (G - 1) for each other
        best_worst (BW)   w = 1 for the best and for the worst
        power             w = |r|^power
        A[n] <- N * w[n] / sum(w) * A_ppo[n]

    The authors draw N rollouts by these odds; here each counts as often as it would be drawn on average, which is the
    same gradient in expectation, without the noise of the draw. Rollouts that cannot be drawn are not computed.

    Args:
        rule: see above. The paper compares the first three; which one fits a reward model is told by how well its
            reward explains the true score on the rollouts it keeps.
        power: of the rule of that name.
        weights: reward weights by name; 1 where not named. Their sum is ranked.
        gamma, lam, clip, value_lr, value_steps, value_clip, value_warmup: of :func:`ppo`.

    Equals share their place, where the authors' code takes the first; a group of one is its own best and worst. Their
    ``select_max_random`` has odds 0.4 and 0.1 for every G, which are BR's at G = 5. verl's
    ``compute_pf_ppo_reweight_data`` takes best and worst of the whole batch, not of each prompt.
    Source: arXiv:2409.06957.
    """
    base = ppo(weights=weights, gamma=gamma, lam=lam, clip=clip)
    signal = Chain((*base.signal.stages, FilterByRank(rule, power, weights)))
    return dataclasses.replace(base, signal=signal, learner=Critic(value_lr, value_steps, value_clip, value_warmup))
