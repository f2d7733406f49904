"""CLIPO's head: it learns what correct rollouts have in common, and how far each is from it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from concord.core.errors import BatchError, ConfigError, nearest
from concord.core.groups import Groups
from concord.core.moments import group_sum
from concord.core.rollouts import Rollouts
from concord.core.signal import masked_mean
from concord.functional.contrastive import LEVELS, LOG_SUMS, LOSSES, Comparison, draw_positive
from concord.functional.pooling import POOLS
from concord.learners.learner import Learner
from concord.learners.state import pack, unpack

_GENERATOR = "generator"


@dataclass(frozen=True)
class Contrastive:
    """The parameters of CLIPO's learner.

        z[n] = head(h[n]) / |head(h[n])|      h[n]: the policy's last hidden states, mean over the response
        loss = mean of l[n] over the anchors  l: a loss of concord.functional.contrastive

    Attributes:
        correct: the reward that says whether a rollout is correct; None = the only one there is.
        threshold: a rollout is correct if that reward is above it. One that is not scored is neither correct nor
            incorrect, and takes no part.
        dim: width of the embeddings: 512 for GSM8K, 2048 for MATH in the authors' runs.
        head: "linear", or "mlp" (linear, ReLU, linear; the hidden size between them); without biases.
        temperature: T of the loss.
        loss: "info_nce", "sup_con_out", "sup_con_in" or "soft_nearest_neighbour".
        level: "group" compares a rollout with its group, "batch" with the batch, "cross" resembles the group's
            correct ones among the batch.
        log_sum: "exact", or "authors" with their 1e-8 (:func:`concord.functional.contrastive.floored_log_sum`).
        pooling: "mean" over all tokens of the response, or "authors" (:func:`concord.functional.pooling.decoded_pool`).
        lr: of AdamW.
        weight_decay: of AdamW.
        warmup: steps in which the head trains and the policy does not: 14 (GSM8K) and 58 (MATH) in the authors' runs.

    Raises:
        ConfigError: a name that is not one of the above, a number out of range.

    Source: arXiv:2603.10101, Qwen-Applications/CLIPO@13c5fd6. There a rollout is correct if the sum of its rewards is
    above 0.
    """

    reads: ClassVar[frozenset[str]] = frozenset({"hidden"})
    writes: ClassVar[frozenset[str]] = frozenset({"correct", "contrastive_loss"})

    correct: str | None = None
    threshold: float = 0.0
    dim: int = 512
    head: Literal["linear", "mlp"] = "linear"
    temperature: float = 0.05
    loss: str = "info_nce"
    level: str = "group"
    log_sum: str = "exact"
    pooling: str = "mean"
    lr: float = 1e-3
    weight_decay: float = 0.01
    warmup: int = 0

    def __post_init__(self) -> None:
        known: dict[str, Mapping[str, object]] = {
            "head": HEADS,
            "loss": LOSSES,
            "level": LEVELS,
            "log_sum": LOG_SUMS,
            "pooling": POOLS,
        }
        for field, names in known.items():
            if (name := getattr(self, field)) not in names:
                raise ConfigError(
                    f"{field} must be one of {', '.join(names)}, got {name!r}" + nearest(str(name), names)
                )
        if not (self.temperature > 0 and self.lr > 0 and self.weight_decay >= 0 and self.dim >= 1 and self.warmup >= 0):
            raise ConfigError(
                f"need temperature and lr above 0, weight_decay and warmup not below it and dim at least 1, got {self}"
            )
        if not math.isfinite(self.threshold):
            raise ConfigError(f"threshold must be a finite number, got {self.threshold}")

    def check(self, rewards: Sequence[str]) -> None:
        """Refuse rewards of which none says what is correct.

        Raises:
            ConfigError: no reward of that name; or none is named, and there are several.
        """
        if self.correct is None and len(rewards) != 1:
            raise ConfigError(f"say which reward tells that a rollout is correct: correct= one of {', '.join(rewards)}")
        if self.correct is not None and self.correct not in rewards:
            raise ConfigError(
                f"correct={self.correct!r} names no reward; there are {', '.join(rewards)}"
                + nearest(self.correct, rewards)
            )

    def correctness(self, batch: Rollouts) -> Tensor:
        """``[N]``: 1 where correct, 0 where not, NaN where not scored."""
        self.check(batch.names)
        score = batch.rewards[:, 0 if self.correct is None else batch.names.index(self.correct)]
        return torch.where(score.isfinite(), (score > self.threshold).to(score.dtype), torch.nan)

    def pool(self, states: Tensor, mask: Tensor) -> Tensor:
        """Column "hidden": ``[N, T, H], [N, T] -> [N, H]``, by ``pooling``."""
        return POOLS[self.pooling](states, mask)

    def build(self, hidden_size: int, *, seed: int = 0, device: torch.device | str = "cpu") -> ContrastiveLearner:
        """The learner, for a policy whose hidden states have that size."""
        return ContrastiveLearner(self, hidden_size, seed=seed, device=device)


class ContrastiveLearner(Learner):
    """CLIPO's head with its optimiser; one step a batch.

    Reads column "hidden" ``[N, H]``; writes "correct" ``[N]`` (1, 0, NaN = not scored) and "contrastive_loss" ``[N]``
    (detached, from before the step; NaN where a rollout is no anchor). Without anchors the head stays as it is.

    Metrics: ``loss``, mean over the anchors; ``anchors``, their share of the rollouts; ``groups``, the share of groups
    that hold one; ``positive_similarity`` and ``negative_similarity``, mean cosine of the anchors with those they shall
    resemble and with the others.

    Raises:
        BatchError: "hidden" is not [N, H], or not finite where the rollout is scored.
        ConfigError: as :meth:`Contrastive.check`.

    Everything is float32, also under autocast.
    """

    def __init__(
        self, spec: Contrastive, hidden_size: int, *, seed: int = 0, device: torch.device | str = "cpu"
    ) -> None:
        self.spec = spec
        self.hidden_size = hidden_size
        self._generator = torch.Generator().manual_seed(seed)
        self._device = torch.device(device)
        self.head = HEADS[spec.head](hidden_size, spec.dim, self._generator).to(self._device)
        self.optimizer = torch.optim.AdamW(self.head.parameters(), lr=spec.lr, weight_decay=spec.weight_decay)
        self.metrics: Mapping[str, Tensor] = {}

    def step(self, batch: Rollouts) -> Rollouts:
        with torch.enable_grad(), torch.autocast(self._device.type, enabled=False):
            losses, anchor, judged = self._judge(batch, self._generator)
            if anchor.any():
                self.optimizer.zero_grad()
                torch.autograd.backward(masked_mean(losses, anchor))
                self.optimizer.step()
                self.optimizer.zero_grad()
        return judged

    def score(self, batch: Rollouts) -> Rollouts:
        with torch.no_grad(), torch.autocast(self._device.type, enabled=False):
            return self._judge(batch, self._generator.clone_state())[2]

    def state_dict(self) -> dict[str, Tensor]:
        return pack(self.head, self.optimizer) | {_GENERATOR: self._generator.get_state()}

    def load_state_dict(self, tensors: Mapping[str, Tensor]) -> None:
        unpack(tensors, self.head, self.optimizer)
        self._generator.set_state(tensors[_GENERATOR].cpu())

    def _judge(self, batch: Rollouts, generator: torch.Generator) -> tuple[Tensor, Tensor, Rollouts]:
        """The losses ``[N]`` with their gradient, the anchors ``[N]``, and the batch with its columns."""
        spec, device = self.spec, self._device
        correct = spec.correctness(batch)
        scored, right, groups = ~correct.isnan().to(device), (correct > 0).to(device), batch.groups.to(device)
        embeddings = normalize(self.head(self._hidden(batch, scored)), dim=1)
        comparison = LEVELS[spec.level](embeddings, right, scored, groups)
        thinned = draw_positive(comparison, generator) if spec.loss == "info_nce" else comparison
        losses = LOSSES[spec.loss](thinned, spec.temperature, LOG_SUMS[spec.log_sum])
        written = torch.where(comparison.anchor, losses.detach(), torch.nan)
        self.metrics = _measure(comparison, written, groups)
        written = written.to(batch.rewards.device)
        return losses, comparison.anchor, batch.with_columns(correct=correct, contrastive_loss=written)

    def _hidden(self, batch: Rollouts, scored: Tensor) -> Tensor:
        """``[N, H]`` in float32, without gradient; 0 where not scored."""
        hidden = batch.column("hidden")
        if hidden.shape != (len(batch.groups), self.hidden_size):
            raise BatchError(
                f"column 'hidden' must be [{len(batch.groups)}, {self.hidden_size}], got {tuple(hidden.shape)}"
            )
        hidden = hidden.detach().to(scored.device, torch.float32)
        hidden = torch.where(scored[:, None], hidden, 0)
        if bad := (~hidden.isfinite()).any(1).nonzero()[:, 0].tolist():
            raise BatchError(f"column 'hidden' is not finite in {len(bad)} scored rollouts, the first is row {bad[0]}")
        return hidden


def _measure(comparison: Comparison, losses: Tensor, groups: Groups) -> dict[str, Tensor]:
    anchor, similarity = comparison.anchor, comparison.similarity.detach()
    near = comparison.positive & anchor[:, None]
    far = comparison.other & ~comparison.positive & anchor[:, None]

    def mean(x: Tensor, where: Tensor) -> Tensor:
        return torch.where(where.any(), masked_mean(x, where), torch.nan)

    share = anchor.to(similarity.dtype)
    return {
        "loss": mean(losses, anchor),
        "positive_similarity": mean(similarity, near),
        "negative_similarity": mean(similarity, far),
        "anchors": share.mean(),
        "groups": (group_sum(share[:, None], groups) > 0).to(share.dtype).mean(),
    }


def _linear(inputs: int, outputs: int, generator: torch.Generator) -> nn.Linear:
    """torch's own first weights, from a generator of ours."""
    layer = nn.Linear(inputs, outputs, bias=False, device="meta").to_empty(device="cpu")
    nn.init.kaiming_uniform_(layer.weight, a=math.sqrt(5), generator=generator)
    return layer


def _mlp(inputs: int, outputs: int, generator: torch.Generator) -> nn.Sequential:
    return nn.Sequential(_linear(inputs, inputs, generator), nn.ReLU(), _linear(inputs, outputs, generator))


HEADS: dict[str, Callable[[int, int, torch.Generator], nn.Module]] = {"linear": _linear, "mlp": _mlp}
