"""DPOTrainer with Concord's preference losses.

from concord.engines.trl.preference import ConcordDPOConfig, ConcordDPOTrainer

trainer = ConcordDPOTrainer(
    model="Qwen/Qwen2.5-0.5B-Instruct",
    args=ConcordDPOConfig(output_dir="run", method="rpo", method_args={"eta": 0.005}),
    train_dataset=pairs,
)
trainer.train()
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from trl import DPOTrainer

from concord.core.errors import ConfigError, MissingColumn
from concord.engines.checkpoint import load, save
from concord.engines.trl.preference_config import ConcordDPOConfig
from concord.engines.trl.whole import WholeCheckpoints
from concord.methods import info
from concord.objectives import Mean, PairBatch, Responses
from concord.objectives.label import LABEL

__all__ = ["ConcordDPOConfig", "ConcordDPOTrainer"]

PAIR = "concord_pair"
"""The column with the number of a pair, its row in the training data, where labels are remembered."""

LABELS = "concord_labels.safetensors"
"""The file of a checkpoint that holds them."""


class ConcordDPOTrainer(WholeCheckpoints, DPOTrainer):  # type: ignore[misc]
    """TRL's ``DPOTrainer``; the loss is that of a Concord method.

    Data, tokenising, the reference model, PEFT, accelerate, logging and checkpoints are TRL's, and so are its metrics.
    What differs:

    - The loss is the method's :class:`concord.objectives.PreferenceObjective`, on TRL's own log-probabilities.
    - A method without a reference does no forward pass of it, and lets go of the reference model that TRL loads.
    - Columns that the method reads of each pair (``chosen_reward``, say) stay in the batches; None is not known.
    - A method that remembers a label for each pair (POWER-DL) finds it again at the pair's next visit, in every process
      and after resuming. In evaluation every label is 1.
    - A method over demonstrations reads no ``rejected``; where the data has none it is filled in, empty.

    Args:
        model, ref_model, and all others: as for ``DPOTrainer``.
        args: a :class:`ConcordDPOConfig`.

    Metrics, beside TRL's: ``concord/objective/<metric>``, see :class:`concord.objectives.PreferenceObjective`. TRL's
    ``rewards/*`` are left out for a method without a reference or over demonstrations; they would be of none.

    Raises:
        ConfigError: options that do not fit the method; labels to remember and data without row numbers.
        MissingColumn: a data set lacks a column that the method reads.
    """

    _name = "Concord"
    _tag_names = ["trl", "concord"]  # noqa: RUF012 TRL's own attribute

    data_collator: Any
    precompute_ref_logps: bool
    ref_model: Any
    _signature_columns: Any

    def __init__(
        self, model: Any, ref_model: Any = None, args: ConcordDPOConfig | None = None, *more: Any, **options: Any
    ) -> None:
        args = ConcordDPOConfig() if args is None else args
        if not isinstance(args, ConcordDPOConfig):
            raise ConfigError(f"args must be a ConcordDPOConfig, got {type(args).__name__}; change its import too")
        self.objective = args.build()
        self._facts = sorted(self.objective.reads - {LABEL})
        self._remembers = LABEL in self.objective.reads
        super().__init__(model, ref_model, args, *more, **options)
        card = info(args.method)
        self._paper = {"title": card.title, "id": card.arxiv}  # for the model card; TRL's own is DPO's
        self._check()
        columns = [*self._facts, PAIR] if self._remembers else self._facts
        self.data_collator = _WithColumns(self.data_collator, columns)
        if not self.objective.needs_reference:
            self.ref_model = None
        self._labels: Tensor | None = None
        if self._remembers:
            self._labels = torch.ones(max(self.train_dataset[PAIR], default=-1) + 1, device=self.accelerator.device)

    def _check(self) -> None:
        """Meet what would go wrong at the first step before it."""
        evaluated = self.eval_dataset if isinstance(self.eval_dataset, dict) else {"eval": self.eval_dataset}
        for name, data in {"train": self.train_dataset, **evaluated}.items():
            present = getattr(data, "column_names", None)
            if present is not None and (absent := sorted(set(self._facts) - set(present))):
                raise MissingColumn(
                    f"method {self.args.method!r} reads columns {absent}; the {name} data has {present}"
                )
        if self._remembers and PAIR not in (getattr(self.train_dataset, "column_names", None) or ()):
            raise ConfigError(
                f"method {self.args.method!r} remembers a label for each pair: indexed text data only, no stream and "
                "no images"
            )

    def _prepare_dataset(self, dataset: Any, processing_class: Any, args: Any, dataset_name: str) -> Any:
        if self._remembers and dataset_name == "train" and hasattr(dataset, "__len__"):
            dataset = dataset.add_column(PAIR, list(range(len(dataset))))
        first = next(iter(dataset))
        if not self.objective.loss.reads_rejected and "rejected" not in first:
            if absent := sorted({"prompt", "chosen"} - first.keys()):
                raise MissingColumn(
                    f"demonstrations are columns prompt and chosen; the {dataset_name} data lacks {absent}"
                )
            dataset = dataset.map(_with_nothing_rejected)
        return super()._prepare_dataset(dataset, processing_class, args, dataset_name)

    def _set_signature_columns_if_needed(self) -> None:
        super()._set_signature_columns_if_needed()
        self._signature_columns = list(dict.fromkeys([*self._signature_columns, *self._facts, PAIR]))

    def compute_ref_log_probs(self, model: Any, inputs: Any) -> Any:
        """TRL's, of batches that carry further columns."""
        return super().compute_ref_log_probs(model, {k: v for k, v in inputs.items() if k not in (*self._facts, PAIR)})

    def _compute_loss(self, model: Any, inputs: dict[str, Any], return_outputs: bool) -> Any:
        inputs = dict(inputs)
        columns = {name: inputs.pop(name) for name in (*self._facts, PAIR) if name in inputs}
        if not self.objective.needs_reference:
            nothing = torch.zeros(len(inputs["input_ids"]) // 2, device=self.accelerator.device)
            inputs |= {"ref_chosen_logps": nothing, "ref_rejected_logps": nothing}
        elif not self.precompute_ref_logps:
            references = self.compute_ref_log_probs(self.ref_model or self.model, inputs)
            inputs |= dict(zip(("ref_chosen_logps", "ref_rejected_logps"), references, strict=True))
        outputs, returned = self._through_trl(model, inputs, return_outputs)
        loss = self._objective_loss(outputs, inputs, columns)
        if self.aux_loss_enabled:
            loss = loss + self.router_aux_loss_coef * outputs.aux_loss
        return (loss, returned[1]) if return_outputs else loss

    def _through_trl(self, model: Any, inputs: dict[str, Any], return_outputs: bool) -> tuple[Any, Any]:
        """What the model put out, with its graph, and what TRL made of it: metrics, and a loss that is not used."""
        seen = []

        def listening(*args: Any, **kwargs: Any) -> Any:
            seen.append(model(*args, **kwargs))
            return seen[-1]

        given, self.precompute_ref_logps = self.precompute_ref_logps, True  # the inputs hold them
        try:
            returned = super()._compute_loss(listening, inputs, return_outputs)
        finally:
            self.precompute_ref_logps = given
        return seen[0], returned

    def _objective_loss(self, outputs: Any, inputs: dict[str, Any], columns: dict[str, Tensor]) -> Tensor:
        mask = inputs["completion_mask"][:, 1:]
        logp = outputs.log_probs[:, -mask.shape[1] :].sum(1).chunk(2)  # 0 off the mask
        lengths = mask.sum(1).chunk(2)
        chosen = Responses(logp[0], lengths[0], inputs["ref_chosen_logps"])
        rejected = Responses(logp[1], lengths[1], inputs["ref_rejected_logps"])
        pairs, training = columns.pop(PAIR, None), self.model.training
        if self._labels is not None:
            columns[LABEL] = self._labels[pairs] if training else torch.ones_like(logp[0])
        loss, metrics, labels = self.objective(PairBatch(chosen, rejected, columns))
        if self._labels is not None and labels is not None and training:
            # A pair's next visit may be in another process.
            pairs, labels = self.accelerator.gather((pairs, labels.to(self._labels.dtype)))
            self._labels[pairs] = labels
        self._log_metrics(metrics, "train" if training else "eval")
        return loss

    def _log_metrics(self, metrics: dict[str, Mean], mode: str) -> None:
        here = torch.stack([torch.stack([mean.total.float(), mean.weight.float()]) for mean in metrics.values()])
        for name, (total, weight) in zip(metrics, self.accelerator.reduce(here).tolist(), strict=True):
            self._metrics[mode][f"concord/objective/{name}"].append(total / weight)
        if not (self.objective.needs_reference and self.objective.loss.reads_rejected):
            for name in [name for name in self._metrics[mode] if name.startswith("rewards/")]:
                del self._metrics[mode][name]

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        super()._save_optimizer_and_scheduler(output_dir)
        if self._labels is not None and self.args.should_save:
            save(Path(output_dir, LABELS), {"labels": self._labels})

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is None or self._labels is None:
            return
        file = Path(checkpoint, LABELS)
        if not file.is_file():
            raise ConfigError(f"{checkpoint} holds no {LABELS}; it was not written by method {self.args.method!r}")
        labels = load(file)["labels"]
        if labels.shape != self._labels.shape:
            raise ConfigError(f"{file} holds labels of {len(labels)} pairs, the training data has {len(self._labels)}")
        self._labels.copy_(labels)


@dataclass(frozen=True)
class _WithColumns:
    """TRL's collator, which keeps tokens only, and the columns of each pair."""

    collate: Callable[[list[dict[str, Any]]], dict[str, Any]]
    columns: list[str]

    def __call__(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        present = [name for name in self.columns if name in examples[0]]
        return self.collate(examples) | {name: _tensor([row[name] for row in examples]) for name in present}


def _tensor(values: list[Any]) -> Tensor:
    return torch.tensor([float("nan") if value is None else value for value in values])


def _with_nothing_rejected(example: dict[str, Any]) -> dict[str, Any]:
    chosen = example["chosen"]
    return {"rejected": "" if isinstance(chosen, str) else [{**chosen[-1], "content": ""}]}
