"""A group against its own members, and against the other groups."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from concord.core.errors import BatchError, ConfigError
from concord.core.moments import group_mean, group_moments, group_sum
from concord.core.rollouts import Rollouts
from concord.core.signal import Signal, masked_mean
from concord.core.stage import Stage
from concord.functional.answers import answer_entropy
from concord.stages.normalize import GroupNormalize
from concord.stages.one_group import one_group


@dataclass(frozen=True)
class BlendByConsistency(Stage):
    """Compare rollouts in their group where its answers differ, and groups in the batch where they do not.

        local[n] = (r[n] - mean_g) / (std_g + eps)
        global_g = (R_g - mean of R) / (std of R + eps),      R_g = mean_g(r), over the batch's groups
        w[n] = sigmoid(sharpness * (H_g - middle)) where r[n] is not 0, else 0
        A[n] = w[n] local[n] + (1 - w[n]) global_g

    H_g is the entropy of the group's answers in bits. A loss that clips the two separately reads them in the columns
    that the stage writes (:class:`concord.objectives.BlendedClip`); without clipping it is the loss of A.

    Shapes: [N, 1] -> [N, 1].  Units: none.  State: none.
    Columns: ``answers``, ``[N]`` integers, equal where the answers are (:func:`concord.functional.answers.answer_ids`).
    Writes: ``local_advantage``, ``global_advantage``, ``local_weight``, each ``[N]``, 0 where not kept.
    Metrics: ``entropy``, the mean over groups; ``local_weight``, the mean over rollouts.
    Raises: ConfigError unless sharpness and middle are at least 0; BatchError where there are several channels, or
    answers that are no integers.
    Degenerate: a unanimous group has no local advantage, and a global one only where groups differ; a batch of one
    group, or whose groups all have the same mean, has no global advantage (the authors
    divide by 1e-6 there, and give a lone rollout its raw reward). Groups without a score have no part.
    Source: COPO, arXiv:2508.04138; hijih/copo-code@095afa5, ``compute_grpo_outcome_advantage_with_global`` and the mode
    "soft with zero" of ``compute_policy_loss_with_global``.

    Attributes:
        sharpness: how fast w changes with the entropy (gamma in the paper, k in the code).
        middle: the entropy in bits at which w is 1/2 (rho in the paper, b in the code).
        eps: added to the deviations.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"answers"})
    writes: ClassVar[frozenset[str]] = frozenset({"local_advantage", "global_advantage", "local_weight"})
    sharpness: float = 5.0
    middle: float = 1.0
    eps: float = 1e-6

    def __post_init__(self) -> None:
        if not (self.sharpness >= 0 and self.middle >= 0):
            raise ConfigError(f"sharpness and middle must not be negative, got {self.sharpness} and {self.middle}")

    def apply(self, signal: Signal, batch: Rollouts) -> Signal:
        if len(signal.channels) != 1:
            raise BatchError(f"COPO compares one reward, not {signal.channels}; put BlendByConsistency after Sum()")
        answers = batch.column("answers")
        if answers.is_floating_point() or answers.ndim != 1:
            raise BatchError(
                f"column 'answers' must be [rollouts] integers, got {answers.dtype} {tuple(answers.shape)}; "
                "concord.functional.answers.answer_ids numbers them"
            )
        groups, live = batch.groups, signal.live
        noise = signal.noise_in(groups)
        local = GroupNormalize(self.eps).apply(signal, batch).values
        rate = group_mean(signal.values, groups, live)
        told = group_sum(live.to(rate.dtype), groups) > 0
        rates = group_moments(rate, one_group(rate), told, noise=noise.amax(0, keepdim=True))
        among = groups.spread(rates.centred / (rates.std[0] + self.eps))

        there = groups.lay(live)[..., 0] & groups.there
        entropy = answer_entropy(groups.lay(answers), there).to(rate.dtype)
        weight = (self.sharpness * (entropy - self.middle)).sigmoid()
        weight = groups.spread(weight)[:, None] * (signal.values != 0)
        local, among, weight = (torch.where(live, x, 0) for x in (local, among, weight))
        blend = torch.where(live, weight * local + (1 - weight) * among, signal.values)
        metrics = {"entropy": masked_mean(entropy, told[:, 0]), "local_weight": masked_mean(weight, live)}
        return signal.to(blend, metrics=metrics).with_columns(
            local_advantage=local[:, 0], global_advantage=among[:, 0], local_weight=weight[:, 0]
        )
