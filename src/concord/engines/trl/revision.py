"""ConcordTrainer with revisions: where a group falls short, its best drafts are revised, and that is learnt from."""

from __future__ import annotations

import dataclasses
import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor

from concord.core.errors import ConfigError, nearest
from concord.core.rollouts import Rollouts
from concord.dumps.values import text
from concord.engines.trl import refill, rows
from concord.engines.trl.scoring import SCORES
from concord.engines.trl.trainer import ConcordTrainer
from concord.methods import Method, with_revisions
from concord.methods.revision import REVISED
from concord.rewards.completions import Completion, completion_text
from concord.strategies.ghpo import Prompt
from concord.strategies.herl import Revisions, revision_prompt

Criteria = Callable[[Any, Mapping[str, Any]], tuple[Sequence[str], Sequence[str]]]
"""From a completion, text or messages, and its row of the data to the criteria that it meets and those it does not."""

_PLACE = "place"


class RevisingTrainer(ConcordTrainer):
    """:class:`ConcordTrainer`, with the revisions of HeRL.

    Each draft is revised once, from a prompt that shows it and what it lacks. Its score moves towards the revision's.
    The best revision of a group, if it is as good as the best member, takes a random member's place; else a copy of the
    best does. The advantages are those of the groups after that. A revision's tokens have a loss of their own
    (:func:`concord.methods.with_revisions`), conditioned on the prompt that they were sampled from.

    Reward functions, the log and the dump have the prompt without the draft in it. TRL's metrics are of the rollouts
    before revision, but for ``num_tokens``. Its table of completions is of those that are trained on, as they were
    scored, with a column ``revised``. The dump has them with the rewards that the method sees, bonus and all. Groups
    that ``refill_rounds`` replaces are replaced before anything is revised. Evaluation has no revisions.

    Revisions are sampled at the run's temperature, as the authors' are in effect (:func:`concord.strategies.herl`), and
    learnt from as they were sampled; the authors tokenise their text anew. Weights against the error of vLLM's
    probabilities are 1 on them, as in the authors' code.

    Args:
        revisions: as :func:`concord.strategies.herl` builds it.
        criteria: which criteria a completion meets, and which not. It is asked about drafts only, after the rewards.
        score: the reward that decides who is revised, and that the bonus is added to; None = the only one. The other
            rewards of a draft stay as they are.
        gamma: of the loss of revised tokens; see :class:`concord.objectives.MixedPolicy`.
        model, reward_funcs, args, and all others: as for ``ConcordTrainer``. ``args.method`` is any whose loss is a
            :class:`concord.objectives.PolicyObjective`.

    Metrics: ``concord/revision/drafts``, the share of groups with drafts to revise; ``concord/revision/better``, the
    share of these with a revision as good as their best member; ``concord/revision/gain``, the mean of
    revision - draft, in the reward's units. The last two are missing where nothing was revised.

    Raises:
        ConfigError: no such reward, or several and none named; a loss of another kind; a method with a learner, or one
            that reads token scores or a column of the user's functions, which compare members as they were sampled;
            several processes, over which a group may be split; tools, images, environments or a ``rollout_func``.
    """

    num_generations: int

    def __init__(
        self,
        *arguments: Any,
        revisions: Revisions,
        criteria: Criteria,
        score: str | None = None,
        gamma: float = 1.0,
        **options: Any,
    ) -> None:
        self._revisions, self._criteria, self._gamma = revisions, criteria, gamma
        self._sampled: list[tuple[Mapping[str, Any], Completion]] = []
        self._prompts: list[Prompt] | None = None
        super().__init__(*arguments, **options)
        if self.accelerator.num_processes > 1:
            raise ConfigError("revisions are for one process: over several, a group may be split")
        if self.tools or self._is_vlm or self.rollout_func is not None or self.environment_factories is not None:
            raise ConfigError("revisions are for text without tools, images, environments or a rollout_func")
        if self._learning is not None:
            raise ConfigError(f"method {self.args.method!r} has a learner: revisions are for methods without one")
        if foreign := sorted(self._method.needs & (self._columns.names | {SCORES})):
            raise ConfigError(
                f"method {self.args.method!r} reads {foreign}, which may compare members of a group as it was sampled: "
                "without the revision that is in it now"
            )
        self._scored_by = self._column_of(score)

    def _column_of(self, score: str | None) -> int:
        names = self._rewards.names
        if score is None and len(names) > 1:
            raise ConfigError(f"which reward are the revisions about? Name one of {', '.join(names)} as score=")
        if score is not None and score not in names:
            raise ConfigError(f"no reward {score!r}" + nearest(score, names) + f"; there are {', '.join(names)}")
        return 0 if score is None else names.index(score)

    def _method_of(self, weights: Mapping[str, float]) -> Method:
        return with_revisions(super()._method_of(weights), gamma=self._gamma)

    def _check(self) -> None:
        # Of the method as it was named: the column that is added to it is this trainer's to give.
        mixed, self._method = self._method, super()._method_of(self._weights)
        super()._check()
        self._method = mixed

    # ---- Sampling ----

    def _generate(self, prompts: list[Prompt]) -> tuple[Any, ...]:
        found: tuple[Any, ...] = super()._generate(prompts if self._prompts is None else self._prompts)
        return found

    def _calculate_rewards(
        self, inputs: Any, prompts: Any, completions: Any, completion_ids_list: list[list[int]]
    ) -> Tensor:
        scores = super()._calculate_rewards(inputs, prompts, completions, completion_ids_list)
        count, revised = len(inputs), int(self._prompts is not None)
        self._facts[REVISED] = torch.full((count,), revised, device=scores.device)
        self._facts[_PLACE] = torch.arange(count, device=scores.device) + len(self._sampled)
        self._log_completion_extra(REVISED, [revised] * count)
        if self.model.training:
            self._sampled += zip(inputs, completions, strict=True)
        return scores

    @contextmanager
    def _asking(self, prompts: list[Prompt]) -> Iterator[None]:
        """Sample one response to each of these, a group of one, and show reward functions what they stand for."""
        size = self.num_generations
        self._prompts, self.num_generations = prompts, 1
        try:
            yield
        finally:
            self._prompts, self.num_generations = None, size

    def _revise(self, batch: Rollouts, drafts: Sequence[int]) -> tuple[rows.Batch, Rollouts]:
        places = batch.column(_PLACE).tolist()
        chosen = [self._sampled[places[draft]] for draft in drafts]
        prompts = [_asked(row["prompt"], completion, *self._criteria(completion, row)) for row, completion in chosen]
        with self._asking(prompts):
            output, fresh = self._sample([dict(row) for row, _ in chosen])
        if (weights := output.get("importance_sampling_ratio")) is not None:
            output["importance_sampling_ratio"] = torch.ones_like(weights)
        return output, fresh

    # ---- What becomes of a generation batch ----

    def _rework(self, output: rows.Batch, batch: Rollouts) -> tuple[rows.Batch, Rollouts]:
        size, scores = self.num_generations, batch.rewards[:, self._scored_by]
        groups = scores.view(-1, size).tolist()
        drafts = [p * size + i for p, group in enumerate(groups) for i in self._revisions.drafts(group)]
        plan, gains = _Plan([], [], []), scores.new_zeros(0)
        if drafts:
            journal = refill.Journal(self._metrics["train"], self._logs, len(scores))
            fresh_output, fresh = self._revise(batch, drafts)
            found = fresh.rewards[:, self._scored_by]
            # Drawn for this step alone, so that a checkpoint has nothing to keep.
            rng = random.Random(f"{self.args.seed}, {self._step}")
            plan, gains = _planned(self._revisions, groups, drafts, found.tolist(), rng), found - scores[drafts]
            rewards = batch.rewards.clone()
            rewards[:, self._scored_by] = scores.new_tensor(plan.shaped)
            batch = dataclasses.replace(batch, rewards=rewards)
            for new_output, new, pairs in ((fresh_output, fresh, plan.revised), (output, batch, plan.copied)):
                to, source = refill.rows(pairs, 1, scores.device)
                output = rows.splice(output, new_output, to, source, self._tokenizer.pad_token_id)
                batch = refill.merge(batch, new, to, source)
                journal.put(to, source, len(new.groups))
        self._sampled.clear()
        changed = len(plan.revised) + len(plan.copied)
        metrics = {
            "drafts": changed / len(groups),
            "better": len(plan.revised) / changed if changed else math.nan,
            "gain": gains.nanmean().item(),
        }
        for name, value in metrics.items():
            self._metrics["train"][f"concord/revision/{name}"].append(value)
        return output, batch


class _Plan(NamedTuple):
    """The scores of N rollouts with the bonus, and pairs of a row and what takes its place: a revision, or a row."""

    shaped: list[float]
    revised: list[tuple[int, int]]
    copied: list[tuple[int, int]]


def _planned(
    revisions: Revisions, scores: list[list[float]], drafts: list[int], found: list[float], rng: random.Random
) -> _Plan:
    """What becomes of P groups of G, of which the rows ``drafts`` have revisions that scored ``found``."""
    plan = _Plan([], [], [])
    for p, group in enumerate(scores):
        start = p * len(group)
        mine = [j for j, draft in enumerate(drafts) if start <= draft < start + len(group)]
        plan.shaped.extend(revisions.shaped(group, {drafts[j] - start: [found[j]] for j in mine}))
        taken = revisions.replace(group, [found[j] for j in mine], rng) if mine else None
        if taken is not None and taken.revision is not None:
            plan.revised.append((start + taken.row, mine[taken.revision]))
        elif taken is not None and taken.copy is not None:
            plan.copied.append((start + taken.row, start + taken.copy))
    return plan


def _asked(prompt: Prompt, completion: Completion, met: Sequence[str], unmet: Sequence[str]) -> Prompt:
    """The prompt of a revision, in the form of the draft's: of messages the last one changes."""
    draft = completion_text(completion)
    if isinstance(prompt, str):
        return revision_prompt(prompt, draft, met, unmet)
    *before, last = prompt
    return [*before, {**last, "content": revision_prompt(text([last]), draft, met, unmet)}]
