"""TRL's trainer, with what the sampling policy makes of each token, where a method asks."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor

from concord.core.chain import Chain
from concord.core.groups import Groups
from concord.core.rollouts import Rollouts
from concord.engines.contract import MULTIMODAL
from concord.engines.facts import GIVEN, Fact, asked
from concord.engines.trl.hidden import HiddenStatesTrainer
from concord.engines.trl.push import gathered
from concord.engines.trl.rows import Batch, loss_mask
from concord.engines.trl.vocabulary import Distributions, before, watching
from concord.functional.token_scores import token_scores
from concord.methods import Method
from concord.objectives.batch import Statistic

STATES, SCORES = "states", "token_scores"

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
            Distributions(self.accelerator.unwrap_model(self.model), self.temperature)

    def _with_token_facts(self, batch: Rollouts, output: Batch, method: Method, state: tuple[Any, ...]) -> Rollouts:
        """The rollouts of all processes, with those of the columns :data:`SCORED` that the method needs."""
        if not (needs := method.needs & SCORED):
            return batch
        wanted, scores = asked(method, state), None
        if SCORES in needs:
            count, size = len(output["completion_ids"]), batch.groups.table.shape[0]
            mine = slice(self.accelerator.process_index * count, (self.accelerator.process_index + 1) * count)
            good = _good(method.signal, state, batch)[mine]
            scores = _TokenScores(output["completion_ids"], loss_mask(output), good, size)
        model = self.accelerator.unwrap_model(self.model)
        seen = _Look(output["completion_ids"], Distributions(model, self.temperature), wanted, scores, STATES in needs)
        with watching(model, seen):
            self._pass(output)
        columns = {name: gathered(value, self.accelerator) for name, value in seen.columns().items()}
        return batch.with_columns(**columns)

    def _score(self, model: Any, batch: Batch, wanted: frozenset[Statistic]) -> tuple[Tensor, Any, dict[str, Tensor]]:
        """The pass that the loss is made of: ``[B, T]`` log-probabilities, the router's loss, ``[B, T]`` statistics.

        The entropy is always among them: it is logged.
        """
        width, means = batch["completion_ids"].shape[1], list[Tensor]()
        distributions = Distributions(self.accelerator.unwrap_model(self.model), self.temperature)

        def look(states: Tensor) -> None:
            means.extend(distribution.mean(1) for distribution in distributions.rows(before(states, width)))

        watched = watching(self.accelerator.unwrap_model(model), look) if "mean_logp" in wanted else nullcontext()
        with watched:
            logp, entropy, router = self._get_per_token_logps_and_entropies(
                model,
                torch.cat([batch["prompt_ids"], batch["completion_ids"]], 1),
                torch.cat([batch["prompt_mask"], batch["completion_mask"]], 1),
                width,
                compute_entropy=True,
                compute_aux_loss=self.aux_loss_enabled,
                **{key: batch[key] for key in MULTIMODAL if key in batch},
            )
        return logp, router, {"entropy": entropy.detach()} | ({"mean_logp": torch.stack(means)} if means else {})


class _Look:
    """What one pass shows of this process's rows, micro-batch by micro-batch."""

    def __init__(
        self,
        ids: Tensor,
        distributions: Distributions,
        wanted: Mapping[str, Fact],
        scores: _TokenScores | None,
        states: bool,
    ) -> None:
        self._ids, self._distributions, self._wanted, self._scores = ids, distributions, wanted, scores
        self._rows: dict[str, list[Tensor]] = {name: [] for name in (*wanted, *([STATES] if states else []))}
        self._done = 0

    def __call__(self, found: Tensor) -> None:
        states = before(found, self._ids.shape[1])
        if STATES in self._rows:
            self._rows[STATES].extend(states.float())
        if self._wanted or self._scores is not None:
            for row, distribution in zip(states, self._distributions.rows(states), strict=True):
                self._read(row, distribution)

    def _read(self, states: Tensor, distribution: Tensor) -> None:
        tokens = self._ids[self._done]
        self._done += 1
        for name, fact in self._wanted.items():
            self._rows[name].append(fact(distribution, tokens))
        if self._scores is not None:
            self._scores.add(states, distribution)

    def columns(self) -> dict[str, Tensor]:
        """Each ``[B, T]`` or ``[B, T, H]``."""
        found = {name: torch.stack(rows) for name, rows in self._rows.items()}
        return found if self._scores is None else found | {SCORES: torch.cat(self._scores.found)}


class _TokenScores:
    """Scores group by group, so that one group's states and probabilities are in memory at a time."""

    def __init__(self, ids: Tensor, mask: Tensor, good: Tensor, size: int) -> None:
        self._ids, self._mask, self._good, self._size = ids, mask, good, size
        self._states: list[Tensor] = []
        self._probabilities: list[Tensor] = []
        self.found: list[Tensor] = []

    def add(self, states: Tensor, distribution: Tensor) -> None:
        """The next row's ``[T, H]`` and ``[T, V]``."""
        start = len(self.found) * self._size
        group = slice(start, start + self._size)
        vocabulary = torch.unique(self._ids[group])
        self._states.append(states.float())
        self._probabilities.append(distribution[:, vocabulary].exp())
        if len(self._states) < self._size:
            return
        chosen = torch.searchsorted(vocabulary, self._ids[group])
        states, probabilities = torch.stack(self._states), torch.stack(self._probabilities)
        one = Groups.uniform(1, self._size).to(states.device)
        self.found.append(token_scores(states, probabilities, chosen, self._mask[group], self._good[group], one))
        self._states.clear()
        self._probabilities.clear()


def _good(chain: Chain, state: tuple[Any, ...], batch: Rollouts) -> Tensor:
    """``[N]`` bool: what the chain thinks well of before it reads the scores."""
    place = next(i for i, stage in enumerate(chain.stages) if SCORES in stage.needs)
    return Chain(chain.stages[:place])(batch, state[:place]).advantages > 0
