"""ConcordTrainer with PIPO: before each step, the one on the batch before once more, or some of it taken back."""

from __future__ import annotations

from typing import Any

import torch
from transformers import TrainerCallback

from concord.core.errors import ConfigError
from concord.core.rollouts import Rollouts
from concord.core.signal import Push
from concord.engines.trl.check import blank_outcome
from concord.engines.trl.rows import Batch
from concord.engines.trl.trainer import ConcordTrainer
from concord.methods import PolicyImprovement
from concord.methods.improvement import Past

_ROW = "row"
"""Of a micro-batch: the places of its rows among those of all processes, before TRL shuffles them."""


class ImprovingTrainer(ConcordTrainer):
    """:class:`ConcordTrainer`, with the second update of :class:`concord.methods.PolicyImprovement`.

    The method of the run is the base. TRL goes over each generation batch twice (``num_iterations=2``): the first pass
    is made on the batch before, with C in place of its advantages, the second on the batch at hand. Each has its own
    denominators, and its ratio is to the policy that sampled it. A pass is as many whole optimisation steps as a
    generation batch has.

    Where every C is 0 the first pass is left out: at the first batch, until the history is full, and after a step that
    hurt if ``slack`` is 0. Its optimisation steps are counted, and nothing moves, neither by a penalty nor by the
    optimiser's momentum or decay. Where it is made, it is made with the base's whole loss, as by the authors: penalties
    are not multiplied by phi, and act on rollouts of C = 0 too.

    Rollouts are kept for one batch longer, in memory and in checkpoints. The mean reward is under the weights in force,
    so a weight on a schedule moves it by itself.

    Args:
        window: K, how many mean rewards are remembered.
        slack: lambda, how much of a step that hurt is taken back.
        model, reward_funcs, args, and all others: as for ``ConcordTrainer``.

    Metrics: ``concord/pipo/progress``, xi; ``concord/pipo/mean``, the mean reward. Those of the loss, ``entropy`` and
    ``kl`` are over both passes.

    Raises:
        ConfigError: ``num_iterations`` is not 2; window or slack out of range; a method with a learner, with advantages
            a token, or whose loss reads columns; DeepSpeed or FSDP.
    """

    def __init__(self, *arguments: Any, window: int = 8, slack: float = 0.1, **options: Any) -> None:
        self._window, self._slack = window, slack
        super().__init__(*arguments, **options)
        self._past = self._improvement.init()
        self._again: Push | None = None
        self._repeated: list[Batch] | None = None
        self._silence = _Silence()
        self.add_callback(self._silence)

    @property
    def _improvement(self) -> PolicyImprovement:
        """Around the method as it is, with the weights in force."""
        return PolicyImprovement(self._method, self._window, self._slack, self._weights)

    def _check(self) -> None:
        super()._check()
        _ = self._improvement  # which checks what it is made of
        if self.num_iterations != 2:
            raise ConfigError(
                "num_iterations must be 2, one pass for the batch before and one for the batch at hand; "
                f"got {self.num_iterations}"
            )
        if self._method.learner is not None:
            raise ConfigError(
                f"method {self.args.method!r} trains a learner, which has moved on since the batch before"
            )
        if blank_outcome(self._method, self._rewards.names, self.num_generations).token_advantages is not None:
            raise ConfigError(
                f"method {self.args.method!r} tells the tokens of a response apart, and C is one number a response"
            )
        if self.is_deepspeed_enabled or self.is_fsdp_enabled:
            raise ConfigError("a pass is left out by taking its gradients away: not with DeepSpeed or FSDP")

    def _rework(self, output: Batch, batch: Rollouts) -> tuple[Batch, Rollouts]:
        output, batch = super()._rework(output, batch)
        self._again, outcome, self._past = self._improvement(batch, self._past._replace(chain=self._state))
        for name in ("pipo/progress", "pipo/mean"):
            self._metrics["train"][f"concord/{name}"].append(outcome.metrics[name].item())
        count = len(output["completion_ids"])
        places = torch.arange(count, device=batch.rewards.device) + self.accelerator.process_index * count
        return output | {_ROW: places}, batch

    def _prepare_inputs(self, generation_batch: Any) -> Batch:
        before = self._buffered_inputs
        inputs: Batch = super()._prepare_inputs(generation_batch)
        if not self.model.training:
            return inputs
        if self._buffered_inputs is not before:
            self._repeated = self._once_more(before)
        turn, place = self._next
        if turn:
            self._repeated, self._silence.now = None, False
            return inputs
        self._silence.now = self._repeated is None
        if self._repeated is None:
            return inputs | {"keep": torch.zeros_like(inputs["keep"])}
        return self._repeated[place]

    def _once_more(self, before: list[Batch] | None) -> list[Batch] | None:
        """The micro-batches of the batch before, to be trained on again; None = nothing is."""
        if before is None or self._again is None or not self._again.advantages.any():
            return None
        C = self._again.advantages
        return [batch | {"advantages": C[batch[_ROW]]} for batch in before]

    @property
    def _next(self) -> tuple[int, int]:
        """The pass over the generation batch, 0 or 1, and the micro-batch of it that come next."""
        turn, place = divmod(int(self._step), int(self.args.steps_per_generation))
        return turn % 2, place

    # ---- Checkpoints ----

    @property
    def _between(self) -> bool:
        """Whether both passes are through: what is buffered is the batch before."""
        return self._next == (0, 0)

    def _own_state(self) -> dict[str, Any]:
        means, push, _ = self._past
        own = {
            "means": means,
            "shares": None if push is None else push.advantages,
            "before": self._buffered_inputs if self._between else self._repeated,
            "processes": self.accelerator.num_processes,
        }
        return super()._own_state() | {"improvement": own}

    def _restore(self, state: dict[str, Any]) -> None:
        super()._restore(state)
        own = state["improvement"]
        # The columns of the push stand in the micro-batches.
        self._past = Past(own["means"], None if own["shares"] is None else Push(own["shares"], {}), self._state)
        before = own["before"] if own["processes"] == self.accelerator.num_processes else None
        if self._between:
            self._buffered_inputs = before
        else:
            self._repeated = before


class _Silence(TrainerCallback):  # type: ignore[misc]
    """Takes the gradients of an optimisation step away: an optimiser passes over a parameter that has none."""

    now = False

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        if self.now:
            more["model"].zero_grad(set_to_none=True)
