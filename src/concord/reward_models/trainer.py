"""TRL's RewardTrainer with terms against biases."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from trl import RewardTrainer

from concord.core.errors import ConfigError, MissingColumn
from concord.engines.trl.whole import WholeCheckpoints
from concord.reward_models.batch import BIAS, LENGTH, PairBatch
from concord.reward_models.objective import Objective
from concord.reward_models.readout import Readout

PENALTIES = "penalties.safetensors"


class RewardModelTrainer(WholeCheckpoints, RewardTrainer):  # type: ignore[misc]
    """``RewardTrainer`` whose loss is Bradley-Terry plus the objective's penalties.

    A penalty is computed over all pairs of an update (``objective.over``), also when the update is split into
    micro-batches and processes, and its gradient is that of the whole: every process holds the detached states of all
    pairs, puts those of the pairs at hand in their place with their graph, and scales the gradient by what the engine
    divides it by afterwards, micro-batches and processes. (The authors of DIR gather likewise but do not scale, so
    with W processes their term counts 1/W.) With several micro-batches this takes one more forward pass, without
    gradient, over the update's pairs before the first backward pass. The probes are fitted once an update, before it.

    Args:
        objective: the terms.
        Otherwise as TRL's. Data sets are tokenised (``chosen_ids``, ``rejected_ids``) and hold ``length_difference``
        and ``bias/<name>`` for every bias of the objective; see :func:`concord.reward_models.rows.tokenised`.

    Raises:
        MissingColumn: a data set lacks one of these.
    """

    data_collator: Any
    _signature_columns: Any

    def __init__(self, *args: Any, objective: Objective | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.objective = objective or Objective()
        self._facts = [LENGTH, *(BIAS + bias for bias in self.objective.biases)] if self.objective.terms else []
        for name in self._facts:
            if name not in self.train_dataset.column_names:
                raise MissingColumn(f"the training pairs have no column {name!r}; the objective reads it")
        self.data_collator = _WithFacts(self.data_collator, self._facts)
        self._readout = Readout(self.model)
        self.penalties = [
            term.build(self._readout.width, self.args.seed + index, self.accelerator.device)
            for index, term in enumerate(self.objective.terms)
        ]
        self._pool: list[PairBatch] = []  # of the update: detached pairs of all processes, by micro-batch
        self._turn = 0  # the micro-batch at hand

    def get_batch_samples(self, epoch_iterator: Iterator[Any], num_batches: int, device: torch.device) -> Any:
        """The micro-batches of an update; looks at all of them first where the objective asks for it."""
        batches, items = super().get_batch_samples(epoch_iterator, num_batches, device)
        self._pool, self._turn = [], 0
        if self.penalties and self.objective.over == "update" and len(batches) > 1:
            self._pool = [self._look(batch) for batch in batches]
            self._fit(PairBatch.join(self._pool))
        return batches, items

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """TRL's loss, and in training the penalties."""
        facts = {name: inputs.pop(name) for name in self._facts if name in inputs}
        loss, outputs = super().compute_loss(model, inputs, True, num_items_in_batch)
        if self.penalties:
            pairs = self._pairs(inputs["input_ids"], outputs.logits, facts)
            if self.model.training:
                loss = loss + self._penalty(pairs)
        return (loss, outputs) if return_outputs else loss

    def _penalty(self, own: PairBatch) -> Tensor:
        """The penalties' weighted sum, with the gradient to this process's pairs of this micro-batch."""
        pool, turn = self._pool, self._turn
        if not pool:
            pool, turn = [self._gathered(own)], 0
            self._fit(pool[0])
        self._turn += 1
        start = sum(map(len, pool[:turn])) + self.accelerator.process_index * len(own)
        pairs = PairBatch.join(pool).with_rows(start, own)
        total = torch.zeros((), device=own.margins.device)
        for penalty in self.penalties:
            value = penalty.value(pairs)
            total = total + penalty.weight * value
            self._metrics["train"][f"{penalty.name}/{penalty.measure}"].append(value.item())
        # The engine averages gradients over processes and micro-batches; the value is the whole's already.
        share = int(self.accelerator.num_processes) * len(pool)
        return total.detach() + share * (total - total.detach())

    def _fit(self, pairs: PairBatch) -> None:
        for penalty in self.penalties:
            for name, value in penalty.fit(pairs).items():
                self._metrics["train"][f"{penalty.name}/{name}"].append(value.item())

    def _look(self, batch: dict[str, Any]) -> PairBatch:
        """The pairs of a micro-batch, of all processes, without gradient."""
        model = self.model_wrapped.train()  # as in the pass with gradient
        with torch.no_grad(), self.compute_loss_context_manager():
            inputs = self._prepare_inputs(dict(batch))
            facts = {name: inputs.pop(name) for name in self._facts}
            logits = model(**inputs, use_cache=False).logits
            return self._gathered(self._pairs(inputs["input_ids"], logits, facts))

    def _pairs(self, input_ids: Tensor, logits: Tensor, facts: dict[str, Tensor]) -> PairBatch:
        pad = self.accelerator.unwrap_model(self.model).config.get_text_config().pad_token_id
        states = self._readout.take(input_ids, pad, logits)
        (chosen, rejected), (high, low) = states.chunk(2), logits.squeeze(-1).chunk(2)
        labels = {bias: facts[BIAS + bias] for bias in self.objective.biases if BIAS + bias in facts}
        return PairBatch(chosen - rejected, high - low, facts.get(LENGTH, torch.zeros_like(high)), labels)

    def _gathered(self, pairs: PairBatch) -> PairBatch:
        return pairs.map(lambda tensor: self.accelerator.gather(tensor.detach().contiguous()))

    def _set_signature_columns_if_needed(self) -> None:
        super()._set_signature_columns_if_needed()
        self._signature_columns = list(dict.fromkeys([*self._signature_columns, *self._facts]))

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        super()._save_optimizer_and_scheduler(output_dir)
        if self.args.should_save and self.penalties:
            tensors = {
                f"{penalty.name}/{name}": value.cpu().contiguous()
                for penalty in self.penalties
                if penalty.probe is not None
                for name, value in penalty.probe.state_dict().items()
            }
            save_file(tensors, Path(output_dir, PENALTIES))

    def _fill(self, folder: Path) -> None:
        """A model that loads by itself: an adapter is merged into its base."""
        model = self.accelerator.unwrap_model(self.model)
        if not hasattr(model, "merge_and_unload"):
            super()._fill(folder)
        elif self.accelerator.is_main_process:
            model.merge_and_unload().save_pretrained(folder)
            self.processing_class.save_pretrained(folder)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is None or not self.penalties:
            return
        file = Path(checkpoint, PENALTIES)
        if not file.is_file():
            raise ConfigError(f"{checkpoint} holds no {PENALTIES}; it was not written by this trainer")
        tensors = load_file(file, device=str(self.accelerator.device))
        for penalty in self.penalties:
            head = f"{penalty.name}/"
            if penalty.probe is not None:
                own = {name.removeprefix(head): value for name, value in tensors.items() if name.startswith(head)}
                penalty.probe.load_state_dict(own)


@dataclass(frozen=True)
class _WithFacts:
    """TRL's collator, which keeps tokens only, and the columns that the penalties read."""

    collate: Callable[[list[dict[str, Any]]], dict[str, Any]]
    facts: list[str]

    def __call__(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        present = [name for name in self.facts if name in examples[0]]
        return self.collate(examples) | {name: torch.tensor([row[name] for row in examples]) for name in present}
