"""Contrastive losses over rollouts: a correct one shall resemble the other correct ones, and not the rest.

Two choices make a loss. A *level* says whom a rollout is compared with (:data:`LEVELS`), a *form* how the
comparisons become a number (:data:`LOSSES`). Source: CLIPO, arXiv:2603.10101, in its authors' code
(Qwen-Applications/CLIPO@13c5fd6, ``supcon_loss``); the forms are Khosla et al. 2020, arXiv:2004.11362 (SupCon),
Frosst et al. 2019, arXiv:1902.01889 (soft nearest neighbour) and van den Oord et al. 2018, arXiv:1807.03748 (InfoNCE).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from concord.core.groups import Groups

# ---- Who is compared with whom ----


class Comparison(NamedTuple):
    """Each of N rollouts beside its M candidates.

    Attributes:
        similarity: ``[N, M]`` cosine.
        other: ``[N, M]`` bool, the candidates that count: scored, and not the rollout itself.
        positive: ``[N, M]`` bool, those of them that a correct rollout shall resemble.
        anchor: ``[N]`` bool, the rollouts that have a loss: with one to resemble and one not to.
    """

    similarity: Tensor
    other: Tensor
    positive: Tensor
    anchor: Tensor


def within_groups(embeddings: Tensor, correct: Tensor, scored: Tensor, groups: Groups) -> Comparison:
    """Compare each rollout with its group: M is the largest group's size, memory N * M and not N * N.

    Anchors are the correct rollouts whose group has another correct one and an incorrect one.

    Args:
        embeddings: ``[N, D]``, rows of length 1 (or 0).
        correct: ``[N]`` bool.
        scored: ``[N]`` bool; what is not scored is neither correct nor incorrect, and takes no part.
        groups: the partition of the N rows.
    """
    members, count = groups.table.shape
    block = groups.lay(embeddings)
    similarity = groups.unlay(torch.einsum("gpd,hpd->gph", block, block))
    itself = groups.slot[:, None] // count == torch.arange(members, device=groups.slot.device)

    def candidates(x: Tensor) -> Tensor:
        return groups.spread((groups.lay(x) & groups.there).T)

    other = candidates(scored) & ~itself & scored[:, None]
    return _comparison(similarity, other, candidates(correct) & correct[:, None])


def across_batch(embeddings: Tensor, correct: Tensor, scored: Tensor, groups: Groups) -> Comparison:
    """Compare each rollout with the whole batch, whatever the prompt; M is N. Arguments: :func:`within_groups`.

    Anchors are the correct rollouts, if the batch has another correct one and an incorrect one.
    """
    other = scored[:, None] & scored & ~torch.eye(len(scored), dtype=torch.bool, device=scored.device)
    return _comparison(embeddings @ embeddings.T, other, correct[:, None] & correct)


def group_across_batch(embeddings: Tensor, correct: Tensor, scored: Tensor, groups: Groups) -> Comparison:
    """Resemble the correct rollouts of the group among the whole batch; M is N. Arguments: :func:`within_groups`.

    So the correct rollouts of other prompts count as different, and a group in which all are correct has anchors.
    """
    wide = across_batch(embeddings, correct, scored, groups)
    return _comparison(wide.similarity, wide.other, wide.positive & (groups.index[:, None] == groups.index))


def _comparison(similarity: Tensor, other: Tensor, alike: Tensor) -> Comparison:
    positive = other & alike
    return Comparison(similarity, other, positive, positive.any(1) & (other & ~positive).any(1))


LEVELS = {"group": within_groups, "cross": group_across_batch, "batch": across_batch}
"""The levels by the names of the authors' ``con_lm_head_contrastive_level``."""


# ---- Sums of exponentials ----

LogSum = Callable[[Tensor, Tensor], Tensor]
"""``log(sum of exp(logits[n, m]) where where[n, m])``: ``[N, M], [N, M] bool -> [N]``."""


def exact_log_sum(logits: Tensor, where: Tensor) -> Tensor:
    """The logarithm of the sum of exponentials as it is; finite and meaningless where there is nothing to sum."""
    where = where | ~where.any(1, keepdim=True)
    return logits.masked_fill(~where, -torch.inf).logsumexp(1)


FLOOR = 1e-8


def floored_log_sum(logits: Tensor, where: Tensor) -> Tensor:
    """The authors' way: measured from the row's maximum, with 1e-8 added inside the logarithm.

        log(sum exp(l - max) + 1e-8) + max

    The maximum includes the rollout's similarity to itself, 1 / temperature, which is not in the sum. So at
    temperature 0.05 the 1e-8 is a floor, ``20 + log(1e-8) = 1.58``, under which no sum can fall: four orthogonal
    embeddings give 2.0607, the formula log 3 = 1.0986. At temperature 0.5 it is nothing.
    """
    highest = logits.detach().amax(1, keepdim=True)
    return ((logits - highest).exp() * where).sum(1).add(FLOOR).log() + highest[:, 0]


LOG_SUMS: dict[str, LogSum] = {"exact": exact_log_sum, "authors": floored_log_sum}


# ---- Losses ----

Formula = Callable[[Comparison, float, LogSum], Tensor]
"""A comparison and a temperature T: ``[N]``, 0 where a rollout is no anchor."""


def sup_con_out(comparison: Comparison, temperature: float = 0.05, log_sum: LogSum = exact_log_sum) -> Tensor:
    """SupCon with the mean outside the logarithm: ``[N]``, 0 where a rollout is no anchor.

        l[n] = log sum_other exp(s / T) - mean_positive(s / T)

    Example:
        >>> z = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
        >>> right = torch.tensor([True, True, False])
        >>> sup_con_out(within_groups(z, right, torch.ones(3).bool(), Groups.uniform(1, 3)), temperature=1.0)
        tensor([0.3133, 0.3133, 0.0000])
    """
    logits, positive = comparison.similarity / temperature, comparison.positive
    near = torch.where(positive, logits, 0).sum(1) / positive.sum(1).clamp(min=1)
    return torch.where(comparison.anchor, log_sum(logits, comparison.other) - near, 0)


def soft_nearest_neighbour(
    comparison: Comparison, temperature: float = 0.05, log_sum: LogSum = exact_log_sum
) -> Tensor:
    """Soft nearest neighbour: ``[N]``, 0 where a rollout is no anchor. One close positive is enough.

    l[n] = log sum_other exp(s / T) - log sum_positive exp(s / T)
    """
    logits = comparison.similarity / temperature
    apart = log_sum(logits, comparison.other) - log_sum(logits, comparison.positive)
    return torch.where(comparison.anchor, apart, 0)


def sup_con_in(comparison: Comparison, temperature: float = 0.05, log_sum: LogSum = exact_log_sum) -> Tensor:
    """SupCon with the mean inside the logarithm: ``[N]``, 0 where a rollout is no anchor.

        l[n] = log sum_other exp(s / T) - log mean_positive exp(s / T)

    That is :func:`soft_nearest_neighbour` plus the logarithm of the number of positives: the same gradient.
    """
    softly = soft_nearest_neighbour(comparison, temperature, log_sum)
    count = comparison.positive.sum(1).clamp(min=1).to(softly.dtype)
    return torch.where(comparison.anchor, softly + count.log(), 0)


def info_nce(
    comparison: Comparison,
    temperature: float = 0.05,
    log_sum: LogSum = exact_log_sum,
    generator: torch.Generator | None = None,
) -> Tensor:
    """InfoNCE: ``[N]``, 0 where a rollout is no anchor. One positive is drawn for each anchor.

        l[n] = log sum_other exp(s / T) - s[n, j] / T      j uniform among the positives

    The positives that are not drawn stay in the sum; in expectation over j this is :func:`sup_con_out`.
    """
    return sup_con_out(draw_positive(comparison, generator), temperature, log_sum)


def draw_positive(comparison: Comparison, generator: torch.Generator | None = None) -> Comparison:
    """The comparison with one positive a rollout, drawn uniformly; none where there was none.

    One number a rollout is drawn on the generator's own device (None: torch's generator of the CPU), so a generator
    on the CPU draws alike wherever the batch is.
    """
    positive = comparison.positive
    device = "cpu" if generator is None else generator.device
    share = torch.rand(len(positive), generator=generator, device=device).to(positive.device)
    count = positive.sum(1)
    # A share just below 1 times the count may round up to the count.
    drawn = torch.minimum((share * count).long(), count - 1)
    return comparison._replace(positive=positive & (positive.cumsum(1) - 1 == drawn[:, None]))


LOSSES: dict[str, Formula] = {
    "info_nce": sup_con_out,  # of a comparison that draw_positive has thinned
    "sup_con_in": sup_con_in,
    "sup_con_out": sup_con_out,
    "soft_nearest_neighbour": soft_nearest_neighbour,
}


# ---- The reward ----


def contrastive_bonus(loss: Tensor, *, scale: float, floor: float) -> Tensor:
    """What a loss is worth as a reward, at most 0: ``[N] -> [N]``, NaN where the loss is NaN.

        bonus[n] = max(-scale * loss[n], floor)

    Example:
        >>> contrastive_bonus(torch.tensor([0.5, 10.0, torch.nan]), scale=0.2, floor=-0.5)
        tensor([-0.1000, -0.5000,     nan])
    """
    return (-scale * loss).clamp(min=floor)
