"""PPO's critic, as a head on the policy's own states."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from concord.core.errors import BatchError, ConfigError
from concord.core.rollouts import Rollouts
from concord.core.signal import Outcome
from concord.functional.gae import value_loss
from concord.learners.learner import Learner
from concord.learners.state import pack, unpack

STATES, VALUES, RETURNS = "states", "values", "returns"


@dataclass(frozen=True)
class Critic:
    """The parameters of a critic: what return to expect before each token.

        V[n, t] = w . h[n, t] / H + b    h: the policy's last hidden state, which token t is sampled from, of size H
        loss = 0.5 * mean over tokens of max((V - R)^2, (clamp(V, V_old - clip, V_old + clip) - R)^2)

    R are the chain's ``returns`` (:class:`concord.stages.Gae`), V_old the values at sampling time. w and b begin at 0,
    so the first batch's advantages are the returns themselves. As the sum is divided by H, one learning rate means one
    speed of V, about that much a step, whatever the size of the policy.

    Attributes:
        lr: of AdamW, without weight decay.
        steps: optimisation steps on each batch of rollouts.
        clip: how far a value may move from what it was at sampling time before its gradient stops.
        warmup: generation steps in which the critic learns and the policy does not.

    The states are not trained for it: PPO as published has a network of its own as the critic, or shares the policy's
    and trains it for both.

    Raises:
        ConfigError: a number out of range.

    Source: PPO, arXiv:1707.06347; the loss as in verl (:func:`concord.functional.gae.value_loss`).
    """

    reads: ClassVar[frozenset[str]] = frozenset({STATES, "response_mask"})
    writes: ClassVar[frozenset[str]] = frozenset({VALUES})

    lr: float = 0.2
    steps: int = 8
    clip: float = 0.5
    warmup: int = 0

    def __post_init__(self) -> None:
        if not (self.lr > 0 and self.clip > 0 and self.steps >= 1 and self.warmup >= 0):
            raise ConfigError(f"need lr and clip above 0, steps of at least 1 and warmup not below 0, got {self}")

    def check(self, rewards: Sequence[str]) -> None:
        """Any rewards will do."""

    def build(self, hidden_size: int, *, seed: int = 0, device: torch.device | str = "cpu") -> CriticLearner:
        """The critic, for a policy whose hidden states have that size; nothing in it is random."""
        return CriticLearner(self, hidden_size, device=device)


class CriticLearner(Learner):
    """A linear critic with its optimiser; it judges a batch, and learns from it after the chain.

    Reads columns "states" ``[N, T, H]`` and "response_mask" ``[N, T]``; writes "values" ``[N, T]``, 0 off the mask.

    Metrics: ``loss``, before the last step on the batch; ``value``, mean over the tokens.

    Raises:
        BatchError: "states" is not [N, T, H], or not finite at a sampled token; the chain wrote no returns.

    Everything is float32, also under autocast.
    """

    def __init__(self, spec: Critic, hidden_size: int, *, device: torch.device | str = "cpu") -> None:
        self.spec = spec
        self.head = nn.Linear(hidden_size, 1, device=device)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        self.optimizer = torch.optim.AdamW(self.head.parameters(), lr=spec.lr, weight_decay=0.0)
        self.metrics: Mapping[str, Tensor] = {}

    def step(self, batch: Rollouts) -> Rollouts:
        return self.score(batch)

    def score(self, batch: Rollouts) -> Rollouts:
        states, mask = self._states(batch)
        with torch.no_grad(), torch.autocast(states.device.type, enabled=False):
            values = self._values(states, mask)
        mean = values.sum() / mask.sum().clamp(min=1)
        self.metrics = {"loss": torch.full_like(mean, math.nan), "value": mean}
        return batch.with_columns(**{VALUES: values.to(batch.rewards.device)})

    def follow(self, batch: Rollouts, outcome: Outcome) -> None:
        """One or more optimisation steps towards the returns of the rollouts that were kept."""
        if RETURNS not in outcome.columns:
            raise BatchError(f"a critic learns from {RETURNS!r}, which this chain does not write; it needs a Gae()")
        states, mask = self._states(batch)
        mask = mask & outcome.keep.to(mask.device)[:, None]
        old, returns = (x.to(states.device, torch.float32) for x in (batch.column(VALUES), outcome.columns[RETURNS]))
        if not mask.any():
            return
        loss = old.new_zeros(())
        with torch.enable_grad(), torch.autocast(states.device.type, enabled=False):
            for _ in range(self.spec.steps):
                loss = value_loss(self._values(states, mask), old, returns, mask, clip=self.spec.clip)
                self.optimizer.zero_grad()
                torch.autograd.backward(loss)
                self.optimizer.step()
        self.optimizer.zero_grad()
        self.metrics = {**self.metrics, "loss": loss.detach()}

    def state_dict(self) -> dict[str, Tensor]:
        return pack(self.head, self.optimizer)

    def load_state_dict(self, tensors: Mapping[str, Tensor]) -> None:
        unpack(tensors, self.head, self.optimizer)

    def _values(self, states: Tensor, mask: Tensor) -> Tensor:
        return torch.where(mask, self.head(states / self.head.in_features)[..., 0], 0)

    def _states(self, batch: Rollouts) -> tuple[Tensor, Tensor]:
        """``[N, T, H]`` float32, 0 off the mask; and the mask."""
        states, mask = batch.column(STATES), batch.column("response_mask").bool()
        if states.ndim != 3 or states.shape[:2] != mask.shape or states.shape[2] != self.head.in_features:
            raise BatchError(
                f"column {STATES!r} must be {(*mask.shape, self.head.in_features)}, got {tuple(states.shape)}"
            )
        device = self.head.weight.device
        mask = mask.to(device)
        states = torch.where(mask[..., None], states.detach().to(device, torch.float32), 0)
        if not states.isfinite().all():
            raise BatchError(f"column {STATES!r} is not finite at a sampled token")
        return states, mask
