"""Losses over preference pairs, and over demonstrations: each builds a :class:`concord.objectives.PreferenceObjective`.

Train with one by :mod:`concord.engines.trl.preference`, or call it on a :class:`concord.objectives.PairBatch`. In the
formulas LP is a response's log-probability, summed over its tokens, u = LP - LP_ref, + the chosen and - the rejected
response, h = u(+) - u(-), and |y| a length in tokens.
"""

from __future__ import annotations

from concord.core.catalogue import Card, register
from concord.core.errors import ConfigError
from concord.objectives import (
    ChosenMeanNll,
    ChosenNll,
    ChosenTokenNll,
    DynamicLabel,
    FixedLabel,
    Logistic,
    LogRatio,
    MeanLogRatio,
    PreferenceObjective,
    SquaredMargin,
    TeacherLabel,
    WeightedLogp,
)

PAIRS = ("preference pairs", "a reference policy")

_DPO = "Direct Preference Optimization: Your Language Model is Secretly a Reward Model"
_DPO_CODE = "eric-mitchell/direct-preference-optimization@f8b8c0f"
_IPO = "A General Theoretical Paradigm to Understand Learning from Human Preferences"
_RPO = "Provably Mitigating Overoptimization in RLHF: Your SFT Loss is Implicitly an Adversarial Regularizer"
_RPO_CODE = "YSLIU627/Regularized-Preference-Optimization@d0389c4"


@register(
    Card(
        title=_DPO,
        arxiv="2305.18290",
        formula="loss = -log sigmoid(beta * h), h = (LP - LP_ref)(chosen) - (LP - LP_ref)(rejected)",
        code=f"{_DPO_CODE}, huggingface/trl@f2cd577 (loss_type sigmoid)",
        parity="authors' numbers; TRL 1.16: loss, gradient, parameters of a run",
        kind="preference",
        needs=PAIRS,
    )
)
def dpo(*, beta: float = 0.1) -> PreferenceObjective:
    """Direct Preference Optimization: the policy is its own reward model, relative to a reference.

        loss = mean over pairs of -log sigmoid(beta * h)

    Args:
        beta: how dear it is to leave the reference (paper: 0.1; 0.5 for summaries).

    At policy = reference the loss is log 2, and each pair has the gradient -beta / 2 by h.
    Source: arXiv:2305.18290 eq. 7.
    """
    return PreferenceObjective(LogRatio(), Logistic(beta))


@register(
    Card(
        title="A note on DPO with noisy preferences and relationship to IPO; in the code of " + _DPO,
        arxiv="2305.18290",
        formula="loss = -(1 - eps) log sigmoid(beta * h) - eps log sigmoid(-beta * h)",
        code=f"{_DPO_CODE} (label_smoothing)",
        parity="authors' numbers; TRL 1.16's robust and aot losses, by identities",
        kind="preference",
        needs=PAIRS,
    )
)
def cdpo(*, beta: float = 0.1, eps: float = 0.1) -> PreferenceObjective:
    """Conservative DPO: a share of the labels is taken to be flipped.

        loss = mean over pairs of -(1 - eps) * log sigmoid(beta * h) - eps * log sigmoid(-beta * h)

    Args:
        beta: as in DPO.
        eps: the share, from 0 (DPO) to 1/2 (nothing to learn); 0.1 is a choice of ours.

    Least at beta * h = log((1 - eps) / eps), where DPO's loss falls for ever.
    TRL's ``loss_type="robust"`` is another loss (arXiv:2403.00409): it subtracts the second part and divides by
    1 - 2 eps. TRL's ``label_smoothing`` has no effect on its ``sigmoid``.
    Source: Mitchell 2023, a note beside the code of DPO; it has no arXiv id, the card has DPO's.
    """
    return PreferenceObjective(LogRatio(), Logistic(beta, FixedLabel(eps)))


@register(
    Card(
        title=_IPO,
        arxiv="2310.12036",
        formula="loss = (u(chosen)/|chosen| - u(rejected)/|rejected| - 1/(2 beta))^2, u = LP - LP_ref",
        code="huggingface/trl@f2cd577 (loss_type ipo)",
        parity="TRL 1.16: loss and gradient",
        kind="preference",
        needs=PAIRS,
    )
)
def ipo(*, beta: float = 0.1) -> PreferenceObjective:
    """Identity Preference Optimization, per token: a margin to reach and not to exceed.

        loss = mean over pairs of (u(+)/|y+| - u(-)/|y-| - 1 / (2 * beta))^2

    Args:
        beta: the paper's tau; the margin is 1 / (2 * beta) nats a token.

    The paper's equation sums over tokens, see :func:`ipo_sum`; TRL, on word of the authors, has the mean. At policy =
    reference the loss is 1 / (4 * beta^2) in both, the gradient differs by the factor of a length.
    Source: arXiv:2310.12036 eq. 17.
    """
    return PreferenceObjective(MeanLogRatio(), SquaredMargin(beta))


@register(
    Card(
        title=_IPO,
        arxiv="2310.12036",
        formula="loss = (h - 1/(2 beta))^2, h = (LP - LP_ref)(chosen) - (LP - LP_ref)(rejected)",
        code=f"{_DPO_CODE} (ipo)",
        parity="numbers of the code of DPO's authors",
        kind="preference",
        needs=PAIRS,
    )
)
def ipo_sum(*, beta: float = 0.1) -> PreferenceObjective:
    """Identity Preference Optimization as its equation stands: log-ratios summed over tokens.

        loss = mean over pairs of (h - 1 / (2 * beta))^2

    Args:
        beta: the paper's tau; the margin is 1 / (2 * beta) nats, whatever the lengths.

    :func:`ipo` divides by the lengths. Source: arXiv:2310.12036 eq. 17.
    """
    return PreferenceObjective(LogRatio(), SquaredMargin(beta))


@register(
    Card(
        title=_RPO,
        arxiv="2405.16436",
        formula="loss = -log sigmoid(beta * h) - eta * beta * LP(chosen)",
        code=f"{_RPO_CODE} (alignment-handbook)",
        parity="authors' numbers",
        kind="preference",
        needs=PAIRS,
    )
)
def rpo(*, beta: float = 0.01, eta: float = 0.005) -> PreferenceObjective:
    """Regularized Preference Optimization: DPO, and the chosen responses stay likely.

        loss = mean over pairs of -log sigmoid(beta * h) - eta * beta * LP(+)

    Args:
        beta: as in DPO (authors: 0.01 for Zephyr 7B beta, 0.05 for its Gemma).
        eta: weight of the second part; 0 is DPO.

    LP is summed over tokens, so a long response counts more; the authors advise this for chats, and
    :func:`rpo_mean` for reasoning. NVIDIA's "Reward-aware Preference Optimization" is another RPO.
    Source: arXiv:2405.16436.
    """
    return PreferenceObjective(LogRatio(), Logistic(beta), (ChosenNll(eta * beta),))


@register(
    Card(
        title=_RPO,
        arxiv="2405.16436",
        formula="loss = -log sigmoid(beta * h) - coef * LP(chosen) / |chosen|",
        code=f"{_RPO_CODE} (OpenRLHF)",
        parity="slow loop; relation to rpo at one length",
        kind="preference",
        needs=PAIRS,
    )
)
def rpo_mean(*, beta: float = 0.5, coef: float = 0.2) -> PreferenceObjective:
    """RPO as in its authors' OpenRLHF branch: the mean log-probability of a token.

        loss = mean over pairs of -log sigmoid(beta * h) - coef * LP(+) / |y+|

    Args:
        beta: as in DPO (authors: 0.5).
        coef: weight of the second part, which beta does not multiply here (authors: 0.2); 0 is DPO.

    Where all chosen responses have length L it is :func:`rpo` with eta = coef / (beta * L).
    Source: arXiv:2405.16436; the code.
    """
    return PreferenceObjective(LogRatio(), Logistic(beta), (ChosenMeanNll(coef),))


@register(
    Card(
        title=_RPO,
        arxiv="2405.16436",
        formula="loss = -log sigmoid(beta * h) - coef * sum LP(chosen) / sum |chosen|",
        code="huggingface/trl@f2cd577 (loss_type sigmoid and sft)",
        parity="TRL 1.16: loss and gradient",
        kind="preference",
        needs=PAIRS,
    )
)
def rpo_tokens(*, beta: float = 0.1, coef: float = 1.0) -> PreferenceObjective:
    """RPO as in TRL: DPO plus the cross-entropy of all chosen tokens of the micro-batch.

        loss = mean over pairs of -log sigmoid(beta * h) - coef * sum over pairs of LP(+) / sum over pairs of |y+|

    Args:
        beta: as in DPO.
        coef: weight of the second part, TRL's second ``loss_weights``; 0 is DPO.

    Every token weighs the same. The denominator is the micro-batch's own, as in TRL: with unequal lengths the loss of
    several micro-batches is not that of one large batch. Source: arXiv:2405.16436; TRL.
    """
    return PreferenceObjective(LogRatio(), Logistic(beta), (ChosenTokenNll(coef),))


@register(
    Card(
        title="Direct Nash Optimization: Teaching Language Models to Self-Improve with General Preferences",
        arxiv="2404.03715",
        formula="loss = -q log sigmoid(beta * h) - (1 - q) log sigmoid(-beta * h), q = sigmoid(r(+) - r(-))",
        certainty="low",
        kind="preference",
        needs=(*PAIRS, "a teacher's reward of both responses (chosen_reward, rejected_reward)"),
    )
)
def dno(*, beta: float = 0.1) -> PreferenceObjective:
    """Direct Nash Optimization's regression: as sure of a pair as a teacher's rewards are.

        loss = mean over pairs of -q * log sigmoid(beta * h) - (1 - q) * log sigmoid(-beta * h)
        q = sigmoid(chosen_reward - rejected_reward)

    Args:
        beta: the paper's eta; its value was not found, 0.1 is DPO's.

    The reward of a response is its expected rate of winning against the policy of this iteration, in [0, 1], so q lies
    in [0.27, 0.73]; rewards of another scale make it surer. In the limit of a large gap it is DPO. Least where beta * h
    is the gap of rewards. A pair with a reward missing has no gradient.
    The reference is the policy at the start of the iteration: train an iteration at a time from the last one's model,
    or let TRL move the reference (``sync_ref_model``, ``ref_model_mixup_alpha=1.0``). Sampling, judging and the choice
    of pairs with a large margin are not here. The paper's practical form (DNO-Prct) has hard labels on such pairs: DPO.
    Source: arXiv:2404.03715, from memory and others' summaries; there is no public code.
    """
    return PreferenceObjective(LogRatio(), Logistic(beta, TeacherLabel()))


@register(
    Card(
        title="Sail into the Headwind: Alignment via Robust Rewards and Dynamic Labels against Reward Hacking",
        arxiv="2412.09544",
        formula="loss = -l log sigmoid(m) - (1 - l) log sigmoid(-m) - eta * beta * LP(+)/|+|, "
        "m = beta * ((LP(+) + 1)/|+| - (LP(-) + 1)/|-|), l <- (1 - gamma) l + gamma sigmoid(m)",
        certainty="low",
        kind="preference",
        needs=("preference pairs", "a label kept for each pair"),
    )
)
def power_dl(*, beta: float = 2.0, eta: float = 0.1, gamma: float = 0.1) -> PreferenceObjective:
    """POWER with Dynamic Labels: no reference, and pairs that the policy never comes to agree with are given up.

        m = beta * ((LP(+) + 1) / |y+| - (LP(-) + 1) / |y-|)
        loss = mean over pairs of -l * log sigmoid(m) - (1 - l) * log sigmoid(-m) - eta * beta * LP(+) / |y+|
        l <- (1 - gamma) * l + gamma * sigmoid(m)   after each visit of the pair, from l = 1

    Args:
        beta: scale of the margin. The defaults of all three are ours; the paper's were not found.
        eta: weight of the chosen responses' likelihood.
        gamma: how fast labels follow the policy; 0 is POWER, and its labels stay 1.

    The gradient by m is sigmoid(m) - l, 0 once the label has caught up. An engine keeps the labels, one a row of the
    training data, and they are part of a checkpoint. With eta = gamma = 0 and responses of one length it is SimPO
    without a target margin.
    Source: arXiv:2412.09544, from memory: the place of the "+ 1" is assumed, and there is no public code.
    """
    if eta < 0:
        raise ConfigError(f"eta must not be negative, got {eta}")
    return PreferenceObjective(WeightedLogp(), Logistic(beta, DynamicLabel(gamma)), (ChosenMeanNll(eta * beta),))
