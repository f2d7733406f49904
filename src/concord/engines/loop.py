"""A plain training loop on one device: Concord without a framework, and an example of it in a loop of one's own.

    loop = Loop(policy, method, optimizer, end=tokenizer.eos_token_id, pad=tokenizer.pad_token_id, limit=80)
    for step, rows in enumerate(stream):
        sampled = loop.sample([ids for row in rows for ids in [row.ids] * G], seed=step)
        texts = tokenizer.batch_decode(sampled.responses(), skip_special_tokens=True)
        rewards = torch.tensor([[reward(text) for reward in rewards] for text in texts])
        done = loop.step(sampled, Rollouts(rewards, Groups.uniform(len(rows), G), names))

For reference models, learners, vLLM or several processes there is the TRL engine.
"""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from concord.core.errors import BatchError, ConfigError
from concord.core.rollouts import Rollouts
from concord.core.signal import Outcome, Push
from concord.engines import facts
from concord.functional.distribution import token_logp
from concord.methods import Method
from concord.objectives import Mean, PolicyBatch, PolicyLoss, Totals

SUPPLIED = frozenset({"lengths", "truncated", "response_mask", facts.RATIO_VARIANCE}) | facts.GIVEN
"""The columns that the loop gives a chain."""


@dataclass(frozen=True, eq=False)
class Sampled:
    """N responses to N prompts.

    Attributes:
        prompt_ids, prompt_mask: ``[N, P]`` int64 and bool, padded on the left.
        response_ids, response_mask: ``[N, T]``, padded on the right; an end token that was sampled is part.
        truncated: ``[N]`` bool, no end token within the limit.
    """

    prompt_ids: Tensor
    prompt_mask: Tensor
    response_ids: Tensor
    response_mask: Tensor
    truncated: Tensor

    @property
    def lengths(self) -> Tensor:
        """``[N]`` int64, response tokens."""
        return self.response_mask.sum(1)

    @property
    def tokens(self) -> Tensor:
        """``[N]`` int64, prompt and response tokens: what a pass over them reads."""
        return self.prompt_mask.sum(1) + self.lengths

    def responses(self) -> list[list[int]]:
        """The responses as token ids, without padding."""
        return [ids[:n] for ids, n in zip(self.response_ids.tolist(), self.lengths.tolist(), strict=True)]

    def take(self, rows: Tensor) -> Sampled:
        """These rows (places, int64), without the columns that are padding in all of them."""
        prompt_mask, response_mask = self.prompt_mask[rows], self.response_mask[rows]
        start = self.prompt_mask.shape[1] - int(prompt_mask.sum(1).max())
        end = int(response_mask.sum(1).max())
        prompts, responses = self.prompt_ids[rows, start:], self.response_ids[rows, :end]
        return Sampled(prompts, prompt_mask[:, start:], responses, response_mask[:, :end], self.truncated[rows])


@dataclass(frozen=True, eq=False)
class Done:
    """What a step did.

    Attributes:
        outcome: of the method's chain.
        computed: ``[N]`` bool, the rollouts that went through the forward and backward pass.
        tokens: how many tokens that were, prompts included, padding not; each update counts.
        gradient: its norm, before clipping, at the last update.
    """

    outcome: Outcome
    computed: Tensor
    tokens: int
    gradient: float


class Loop:
    """Samples from a policy and takes a method's steps.

    A rollout without a gradient is not computed; the denominators are those of the whole batch, so nothing changes.

    Args:
        policy: called as Hugging Face's causal models are: ``input_ids``, ``attention_mask``, ``position_ids``,
            ``past_key_values``, ``use_cache``, ``logits_to_keep``; it answers with ``logits`` and ``past_key_values``.
        method: from rewards to advantages, and the loss.
        optimizer: over the policy's parameters.
        end, pad: token ids.
        limit: where a response is cut.
        temperature: of the sampling, and of the probabilities in the loss, as in TRL.
        max_grad_norm: the gradient is scaled down to this norm; infinity = never.
        micro_batch: rollouts computed at a time; None = all. It changes memory and speed only.
        updates: optimisation steps on each batch of rollouts. At the first one the policy is the one that sampled, and
            every ratio is 1; from the second on it has moved.

    Raises:
        ConfigError: the method needs a column, learner or reference model that the loop does not have, or whole
            groups and there is a ``micro_batch``; no update.
    """

    def __init__(
        self,
        policy: nn.Module,
        method: Method,
        optimizer: torch.optim.Optimizer,
        *,
        end: int,
        pad: int,
        limit: int,
        temperature: float = 1.0,
        max_grad_norm: float = 1.0,
        micro_batch: int | None = None,
        updates: int = 1,
    ) -> None:
        if method.learner is not None or method.objective.needs_reference:
            raise ConfigError("the plain loop has no learner and no reference model; use the TRL engine")
        if absent := sorted(method.needs - SUPPLIED):
            raise ConfigError(f"the method needs columns {absent}; the plain loop gives {sorted(SUPPLIED)}")
        if method.objective.whole_groups and micro_batch is not None:
            raise ConfigError("the method's loss is over whole groups: leave micro_batch out")
        if updates < 1:
            raise ConfigError(f"a batch of rollouts has at least one update, got {updates}")
        self.policy, self.optimizer, self.method = policy, optimizer, method
        self.end, self.pad, self.limit, self.temperature = end, pad, limit, temperature
        self.max_grad_norm, self.micro_batch, self.updates = max_grad_norm, micro_batch, updates
        self.state = method.signal.init()
        self._drift = math.nan  # mean of (ratio - 1)^2 on the batch before

    @torch.no_grad()
    def sample(self, prompts: Sequence[Sequence[int]], *, seed: int) -> Sampled:
        """A response to each prompt; a prompt that stands G times gets G of them.

        The random number behind a token belongs to its seed, row and place. So policies that agree sample the same
        from one seed, and comparing two methods from one seed takes the luck of the draw out of the difference.

        Raises:
            BatchError: there is no prompt, or one is empty.
        """
        device = next(self.policy.parameters()).device
        prompt_ids, prompt_mask = (part.to(device) for part in _left_padded(prompts, self.pad))
        N = len(prompt_ids)
        draws = torch.rand(self.limit, N, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(device)
        response_ids = prompt_ids.new_full((N, self.limit), self.pad)
        lengths = prompt_ids.new_zeros(N)
        ended = torch.zeros_like(lengths, dtype=torch.bool)
        # Rows that have ended leave the batch, and their keys and values the cache.
        live, inputs, seen, cache = torch.arange(N, device=device), prompt_ids, prompt_mask.long(), None
        for place in range(self.limit):
            found = self.policy(
                input_ids=inputs,
                attention_mask=seen,
                position_ids=_positions(seen)[:, -inputs.shape[1] :],
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            )
            cache = found.past_key_values
            tokens = _draw(found.logits[:, -1] / self.temperature, draws[place, live])
            response_ids[live, place] = tokens
            lengths[live] = place + 1
            going = tokens != self.end
            if not going.all():
                ended[live[~going]] = True
                live, tokens, seen = live[going], tokens[going], seen[going]
                if cache is not None:  # a policy without memory has none
                    cache.batch_select_indices(going.nonzero()[:, 0])
            if not len(live):
                break
            seen = torch.cat([seen, torch.ones_like(seen[:, :1])], 1)
            inputs = tokens[:, None]
        there = torch.arange(int(lengths.max()), device=device) < lengths[:, None]
        return Sampled(prompt_ids, prompt_mask, response_ids[:, : there.shape[1]], there, ~ended)

    def step(self, sampled: Sampled, batch: Rollouts) -> Done:
        """The updates of one batch of rollouts of the policy as it is.

        Args:
            sampled: N rollouts.
            batch: their rewards and groups; the columns in :data:`SUPPLIED` are added.

        Raises:
            BatchError: the two differ in number.
        """
        if (N := len(batch.groups)) != len(sampled.lengths):
            raise BatchError(f"{len(sampled.lengths)} rollouts were sampled, {N} were scored")
        outcome = self.method.signal(batch.with_columns(**self._facts(sampled)), self.state)
        self.state = outcome.state
        computed = (outcome.keep if self.method.objective.every_row else outcome.pushed) & sampled.response_mask.any(1)
        counted = torch.ones_like(outcome.keep) if self.method.count_dropped else outcome.keep
        totals = Totals(sampled.lengths[counted].sum(), counted.sum())
        drifts, norm = list[Mean](), torch.zeros(())
        parts = [
            _Part(sampled.take(rows), outcome.push.take(rows), batch.groups.index[rows])
            for rows in self._cut(computed.nonzero()[:, 0])
        ]
        for _ in range(self.updates):
            # Zeros, not None: a step without a gradient is still a step of the optimiser's moments.
            self.optimizer.zero_grad(set_to_none=False)
            for part in parts:
                loss, metrics = self._loss(part, totals)
                loss.backward()  # type: ignore[no-untyped-call]
                drifts += [metrics[facts.RATIO_VARIANCE]] if facts.RATIO_VARIANCE in metrics else []
            norm = torch.nn.utils.clip_grad_norm_(self.policy.parameters(), self.max_grad_norm)
            self.optimizer.step()
        self._drift = float(functools.reduce(operator.add, drifts).value()) if drifts else math.nan
        return Done(outcome, computed, self.updates * int(sampled.tokens[computed].sum()), float(norm))

    def log_probs(self, sampled: Sampled) -> Tensor:
        """``[N, T]``, in nats: log-probabilities of the response tokens; meaningless off the mask."""
        return token_logp(self.distribution(sampled), sampled.response_ids)

    def distribution(self, sampled: Sampled) -> Tensor:
        """``[N, T, V]``, in nats: log-probabilities over the vocabulary at the response tokens."""
        seen = torch.cat([sampled.prompt_mask, sampled.response_mask], 1).long()
        width = sampled.response_ids.shape[1]
        found: Any = self.policy(
            input_ids=torch.cat([sampled.prompt_ids, sampled.response_ids], 1),
            attention_mask=seen,
            position_ids=_positions(seen),
            use_cache=False,
            logits_to_keep=width + 1,
        )
        logp: Tensor = (found.logits[:, -width - 1 : -1] / self.temperature).log_softmax(-1)
        return logp

    def _facts(self, sampled: Sampled) -> dict[str, Tensor]:
        """The columns in :data:`SUPPLIED`, those about the distribution only if the method asks."""
        found = {
            "lengths": sampled.lengths,
            "truncated": sampled.truncated,
            "response_mask": sampled.response_mask,
            facts.RATIO_VARIANCE: torch.full_like(sampled.lengths, self._drift, dtype=torch.float32),
        }
        if wanted := facts.asked(self.method, self.state):
            found |= {name: torch.zeros(sampled.response_ids.shape, device=sampled.lengths.device) for name in wanted}
            with torch.no_grad():
                for rows in self._cut(torch.arange(len(sampled.lengths), device=sampled.lengths.device)):
                    part = sampled.take(rows)
                    distribution, width = self.distribution(part), part.response_ids.shape[1]
                    for name, fact in wanted.items():
                        found[name][rows, :width] = fact(distribution, part.response_ids).float()
        return found

    def _cut(self, rows: Tensor) -> tuple[Tensor, ...]:
        """Places of rows, micro-batch by micro-batch."""
        return torch.split(rows, self.micro_batch or len(rows)) if len(rows) else ()

    def _loss(self, part: _Part, totals: Totals) -> PolicyLoss:
        """The part of the step's loss that these rows have."""
        sampled, objective = part.sampled, self.method.objective
        distribution = self.distribution(sampled)
        logp, push = token_logp(distribution, sampled.response_ids), part.push.cut(sampled.response_mask.shape[1])
        if part.old is None:  # at the first update the policy is the one that sampled
            part.old = logp.detach()
        batch = PolicyBatch(
            logp,
            part.old,
            push.advantages,
            sampled.response_mask,
            columns=push.columns,
            groups=part.groups,
            **{
                name: facts.STATISTICS[name](distribution.detach(), sampled.response_ids)
                for name in objective.statistics
            },
        )
        return objective(batch, totals)


@dataclass
class _Part:
    """A micro-batch, over the updates of its batch."""

    sampled: Sampled
    push: Push
    groups: Tensor
    old: Tensor | None = None


def _left_padded(prompts: Sequence[Sequence[int]], pad: int) -> tuple[Tensor, Tensor]:
    if not prompts or not all(prompts):
        raise BatchError("a policy needs something to go on from: give prompts of one token or more")
    longest = max(map(len, prompts))
    ids = [[pad] * (longest - len(prompt)) + list(prompt) for prompt in prompts]
    there = [[False] * (longest - len(prompt)) + [True] * len(prompt) for prompt in prompts]
    return torch.tensor(ids, dtype=torch.int64), torch.tensor(there, dtype=torch.bool)


def _positions(seen: Tensor) -> Tensor:
    return (seen.cumsum(1) - 1).clamp(min=0)  # counted from each row's first token


def _draw(logits: Tensor, uniform: Tensor) -> Tensor:
    """A token a row: where the distribution function passes the uniform number."""
    cumulated = logits.double().softmax(-1).cumsum(-1)
    places = torch.searchsorted(cumulated, (uniform * cumulated[:, -1])[:, None], right=True)[:, 0]
    return places.clamp(max=logits.shape[1] - 1)
