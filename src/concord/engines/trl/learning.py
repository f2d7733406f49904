"""A learner beside the policy: its steps, its warm-up, its checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor
from transformers import TrainerCallback

from concord.core.rollouts import Rollouts
from concord.core.signal import Outcome
from concord.learners import Learner, LearnerSpec


class Learning(TrainerCallback):  # type: ignore[misc]
    """What a trainer does with its method's learner.

    Every process has one of its own and teaches it the same gathered rollouts. While it warms up the policy is left
    as it is: as a callback this takes the gradients away, and an optimiser passes over a parameter that has none.
    """

    def __init__(self, spec: LearnerSpec, learner: Learner) -> None:
        self._spec = spec
        self._learner = learner
        self._steps = 0

    def judge(self, batch: Rollouts) -> Rollouts:
        """The rollouts with the learner's columns; nothing is learnt."""
        return self._learner.score(batch)

    def learn(self, batch: Rollouts) -> Rollouts:
        """The rollouts with the learner's columns, and one step on them."""
        self._steps += 1
        return self._learner.step(batch)

    def follow(self, batch: Rollouts, outcome: Outcome) -> None:
        """Learn from what the chain made of the rollouts that were learnt from last."""
        self._learner.follow(batch, outcome)

    @property
    def warming_up(self) -> bool:
        """Whether the policy stays as it is on the rollouts that were learnt from last."""
        return self._steps <= self._spec.warmup

    @property
    def metrics(self) -> Mapping[str, Tensor]:
        """What the learner measured last."""
        return self._learner.metrics

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds of it."""
        return {"steps": self._steps, "tensors": self._learner.state_dict()}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from :meth:`state`, to the same bits."""
        self._steps = state["steps"]
        self._learner.load_state_dict(state["tensors"])

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        if self.warming_up:
            more["model"].zero_grad(set_to_none=True)
