"""TRL's trainer, with what the sampling policy makes of each token, where a method asks."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor
from transformers.integrations import is_deepspeed_zero3_enabled

from concord.core.chain import Chain
from concord.core.errors import BatchError, ConfigError
from concord.core.groups import Groups
from concord.core.rollouts import Rollouts
from concord.engines.contract import MULTIMODAL
from concord.engines.facts import GIVEN, STATISTICS, asked
from concord.engines.trl.backbone import before, watching
from concord.engines.trl.hidden import HiddenStatesTrainer
from concord.engines.trl.push import gathered
from concord.engines.trl.rows import Batch, loss_mask
from concord.engines.trl.vocabulary import Distributions, check_head
from concord.functional.token_scores import token_scores
from concord.learners.critic import STATES
from concord.methods import Method
from concord.objectives.batch import Statistic

SCORES = "token_scores"

SCORED = GIVEN | {STATES, SCORES}
"""The columns that a pass of the policy over new rollouts gives."""


class ScoringTrainer(HiddenStatesTrainer):
    """``GRPOTrainer`` whose new rollouts are scored token by token, in one more pass of the policy that sampled them.

    - ``old_logp`` ``[N, T]``: log-probabilities; ``old_mean_logp``: their mean over the vocabulary;
    - ``tempered_logp`` ``[N, T]``: what they were at the temperature that :class:`concord.stages.TemperedTarget` asks
      for, times the run's;
    - ``states`` ``[N, T, H]``: the last hidden states, which the tokens were sampled from;
    - ``token_scores`` ``[N, T]``: :func:`concord.functional.token_scores.token_scores` over the tokens of the group,
      the good responses being those to which the chain gives an advantage above 0 before it reads the scores.
    """

    def _check_distributions(self, method: Method) -> None:
        """Refuse, before a run begins, a method that asks for distributions which the policy's head does not tell."""
        if method.objective.statistics & {"mean_logp"} or method.needs & (SCORED - {STATES}):
            check_head(self.accelerator.unwrap_model(self.model))
            if is_deepspeed_zero3_enabled():
                raise ConfigError(
                    f"method {self.args.method!r} asks for distributions over the vocabulary, each from a call of the "
                    "head, of which ZeRO-3 wants the same number on each process; use stage 2, or FSDP"
                )

    def _with_token_facts(self, batch: Rollouts, output: Batch, method: Method, state: tuple[Any, ...]) -> Rollouts:
        """The rollouts of all processes, with those of the columns :data:`SCORED` that the method needs."""
        if not (needs := method.needs & SCORED):
            return batch
        ids, wanted, scores = output["completion_ids"], asked(method, state), None
        if SCORES in needs:
            count, size = len(ids), batch.groups.table.shape[0]
            if count % size:
                raise BatchError(
                    f"tokens are scored within their group, and this process has {count} rollouts in groups of {size}"
                )
            mine = slice(self.accelerator.process_index * count, (self.accelerator.process_index + 1) * count)
            scores = _TokenScores(ids, loss_mask(output), _good(method.signal, state, batch)[mine], size)
        parts: list[dict[str, Tensor]] = []
        done = 0

        def look(states: Tensor) -> None:
            nonlocal done
            here = before(states, ids.shape[1])
            found = self._distributions.facts(here, ids[done : done + len(here)], wanted) if wanted else {}
            if STATES in needs:
                found[STATES] = here.float()
            if scores is not None:
                scores.add(here, self._distributions)
            parts.append(found)
            done += len(here)

        with watching(self.accelerator.unwrap_model(self.model), look):
            self._pass(output)
        columns = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
        columns |= {} if scores is None else {SCORES: torch.cat(scores.found)}
        return batch.with_columns(**{name: gathered(value, self.accelerator) for name, value in columns.items()})

    def _score(self, model: Any, batch: Batch, wanted: frozenset[Statistic]) -> tuple[Tensor, Any, dict[str, Tensor]]:
        """The pass that the loss is made of: ``[B, T]`` log-probabilities, the router's loss, ``[B, T]`` statistics.

        The entropy is always among them: it is logged.
        """
        ids = batch["completion_ids"]
        measured: dict[str, Tensor] = {}

        def look(states: Tensor) -> None:
            facts = {"mean_logp": STATISTICS["mean_logp"]}
            measured.update(self._distributions.facts(before(states, ids.shape[1]), ids, facts))

        watched = watching(self.accelerator.unwrap_model(model), look) if "mean_logp" in wanted else nullcontext()
        with watched:
            logp, entropy, router = self._get_per_token_logps_and_entropies(
                model,
                torch.cat([batch["prompt_ids"], ids], 1),
                torch.cat([batch["prompt_mask"], batch["completion_mask"]], 1),
                ids.shape[1],
                compute_entropy=True,
                compute_aux_loss=self.aux_loss_enabled,
                **{key: batch[key] for key in MULTIMODAL if key in batch},
            )
        return logp, router, {"entropy": entropy.detach(), **measured}

    @property
    def _distributions(self) -> Distributions:
        model = self.accelerator.unwrap_model(self.model)
        return Distributions(model, self.temperature, float32=self.args.cast_lm_head_to_fp32)


class _TokenScores:
    """Scores group by group, so that one group's states and probabilities are in memory at a time."""

    def __init__(self, ids: Tensor, mask: Tensor, good: Tensor, size: int) -> None:
        self._ids, self._mask, self._good, self._size = ids, mask, good, size
        self._states: list[Tensor] = []
        self._probabilities: list[Tensor] = []
        self.found: list[Tensor] = []

    def add(self, states: Tensor, distributions: Distributions) -> None:
        """The next rows' states ``[b, T, H]``."""
        for row in states:
            group = slice(len(self.found) * self._size, (len(self.found) + 1) * self._size)
            vocabulary = torch.unique(self._ids[group][self._mask[group]])
            self._states.append(row.float())
            self._probabilities.append(torch.cat([tile[:, vocabulary].exp() for tile in distributions.tiles(row)]))
            if len(self._states) == self._size:
                self._finish(group, vocabulary)

    def _finish(self, group: slice, vocabulary: Tensor) -> None:
        states, probabilities = torch.stack(self._states), torch.stack(self._probabilities)
        mask, one = self._mask[group], Groups.uniform(1, self._size).to(states.device)
        if mask.any():
            # Off the mask a token may be none of them, and its place is not read.
            chosen = torch.searchsorted(vocabulary, self._ids[group]).clamp(max=len(vocabulary) - 1)
            with torch.autocast(states.device.type, enabled=False):
                self.found.append(token_scores(states, probabilities, chosen, mask, self._good[group], one))
        else:
            self.found.append(torch.zeros_like(mask, dtype=states.dtype))
        self._states.clear()
        self._probabilities.clear()


def _good(chain: Chain, state: tuple[Any, ...], batch: Rollouts) -> Tensor:
    """``[N]`` bool: what the chain thinks well of before it reads the scores."""
    place = next(i for i, stage in enumerate(chain.stages) if SCORES in stage.needs)
    return Chain(chain.stages[:place])(batch, state[:place]).advantages > 0
