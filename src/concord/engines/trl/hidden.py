"""TRL's trainer, with what the policy's last layer makes of each response."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from trl.models.utils import disable_gradient_checkpointing

from concord.engines.contract import MULTIMODAL
from concord.engines.trl.backbone import watching
from concord.engines.trl.resume import ResumableTrainer
from concord.engines.trl.rows import Batch

HIDDEN = "hidden"


class HiddenStatesTrainer(ResumableTrainer):
    """``GRPOTrainer`` whose new rollouts carry pooled hidden states, where somebody wants them.

    They are those of the forward pass that TRL makes for the old log-probabilities, where it makes one, and of one
    more where it does not. Only the pooled ``[B, H]`` are kept, never a micro-batch's ``[b, T, H]``.
    """

    pool: Callable[[Tensor, Tensor], Tensor] | None = None
    """From the last hidden states at the responses' tokens ``[b, T, H]`` and the mask ``[b, T]`` to ``[b, H]``."""

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> Batch:
        self._pooled: list[Tensor] = []
        output: Batch = super()._generate_and_score_completions(inputs)
        if self.pool is None:
            return output
        if "old_per_token_logps" not in output:  # no pass of the policy, though perhaps one of the reference
            self._pooled = []
            self._pass(output)
        return output | {HIDDEN: self._pooled[0]}

    def _pass(self, output: Batch) -> None:
        """A forward pass of the policy over new rollouts, in TRL's micro-batches and without gradient."""
        training, checkpointing = self.model.training, self.args.gradient_checkpointing_kwargs
        with torch.no_grad(), disable_gradient_checkpointing(self.model, checkpointing):
            self._get_per_token_logps_and_entropies(
                self.model,
                torch.cat([output["prompt_ids"], output["completion_ids"]], 1),
                torch.cat([output["prompt_mask"], output["completion_mask"]], 1),
                output["completion_ids"].shape[1],
                self.args.per_device_train_batch_size if training else self.args.per_device_eval_batch_size,
                **{key: output[key] for key in MULTIMODAL if key in output},
            )

    def _get_per_token_logps_and_entropies(
        self, model: Any, input_ids: Tensor, attention_mask: Tensor, logits_to_keep: int, *more: Any, **options: Any
    ) -> Any:
        arguments = (model, input_ids, attention_mask, logits_to_keep, *more)
        if self.pool is None or model is not self.model or torch.is_grad_enabled():
            return super()._get_per_token_logps_and_entropies(*arguments, **options)
        with self._pooling(attention_mask[:, -logits_to_keep:].bool()):
            return super()._get_per_token_logps_and_entropies(*arguments, **options)

    @contextmanager
    def _pooling(self, mask: Tensor) -> Iterator[None]:
        """Pool what goes through the policy's backbone within, row by row with those of ``mask``."""
        pool, parts = self.pool, list[Tensor]()
        assert pool is not None

        def look(states: Tensor) -> None:
            done = sum(map(len, parts))
            parts.append(pool(states[:, -mask.shape[1] :], mask[done : done + len(states)]))

        with watching(self.accelerator.unwrap_model(self.model), look):
            yield
        self._pooled.append(torch.cat(parts))
