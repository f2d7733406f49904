"""A reward model that learns beside the policy that it scores."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from concord.core.catalogue import Card, register
from concord.core.errors import ConfigError
from concord.functional.ranking import ranking_loss
from concord.rewards.completions import Completion, completion_text
from concord.rewards.forms.chat import prompt_text
from concord.rewards.published import verifier_input, verify_rm
from concord.strategies.pairs import Corrupt, Differs, Pair, right_and_wrong

Rule = Callable[[str, str], float]
"""A verifier's score of a response beside the reference; exactly 1 = right."""


class OnlineRewardModel:
    """A reward in TRL's form whose model takes a step on pairs of the batch before it scores the next one.

    Attributes:
        optimizer: AdamW over the model's parameters; with the model's own state and ``pairs`` all there is to save.
        pairs: of the last batch, which the next call learns from first.
        loss: of the last step; None before there was one, NaN where it was passed over.
    """

    def __init__(
        self,
        logits: Callable[[Sequence[str]], Tensor],
        parameters: Iterable[nn.Parameter],
        rule: Rule,
        corrupt: Corrupt,
        differs: Differs,
        learning_rate: float,
        micro_batch: int,
    ) -> None:
        self._logits, self._parameters = logits, list(parameters)
        self._rule, self._corrupt, self._differs = rule, corrupt, differs
        self._micro_batch = micro_batch
        self._reward = verify_rm(logits)
        self.optimizer = torch.optim.AdamW(self._parameters, lr=learning_rate, weight_decay=0.01)
        self.pairs: list[Pair] = []
        self.loss: float | None = None

    def __call__(
        self, prompts: Sequence[Any], completions: Sequence[Completion], answer: Sequence[str | None], **_: Any
    ) -> list[float | None]:
        """The probability that each completion is right; None where there is no answer.

        The policy's step on the last batch is done by now, so the model's step on it comes first, as in the paper.
        """
        if self.pairs:
            self.loss = self.learn(self.pairs)
        scores = self._reward(prompts, completions, answer)
        known = [i for i, reference in enumerate(answer) if reference is not None]
        references = [str(answer[i]) for i in known]
        texts = [completion_text(completions[i]) for i in known]
        right = [self._rule(text, reference) for text, reference in zip(texts, references, strict=True)]
        questions = [prompt_text(prompts[i]) for i in known]
        self.pairs = right_and_wrong(questions, references, texts, right, self._corrupt, self._differs)
        return scores

    def learn(self, pairs: Sequence[Pair]) -> float:
        """One optimiser step on pairs; the loss, NaN if a gradient was not finite and nothing was changed.

        The mean of the micro-batches' losses, each over its own valid pairs, with the gradient clipped to length 1.
        Without a valid pair there is no step at all, also no weight decay: the loss is 0.
        """
        if not any(pair.valid for pair in pairs):
            return 0.0
        self.optimizer.zero_grad()
        parts = [pairs[i : i + self._micro_batch] for i in range(0, len(pairs), self._micro_batch)]
        total = 0.0
        with torch.enable_grad():
            for part in parts:
                loss = self._loss(part) / len(parts)
                loss.backward()  # type: ignore[no-untyped-call]
                total += loss.item()
        if not nn.utils.clip_grad_norm_(self._parameters, 1.0).isfinite():
            self.optimizer.zero_grad()
            return float("nan")
        self.optimizer.step()
        return total

    def _loss(self, pairs: Sequence[Pair]) -> Tensor:
        sides = [(pair.chosen, pair) for pair in pairs] + [(pair.rejected, pair) for pair in pairs]
        logits = self._logits([verifier_input(pair.question, pair.reference, text) for text, pair in sides]).float()
        chosen, rejected = logits.chunk(2)
        return ranking_loss(chosen, rejected, torch.tensor([pair.valid for pair in pairs], device=logits.device))


@register(
    Card(
        title="Cooper: Co-Optimizing Policy and Reward Models in Reinforcement Learning for Large Language Models",
        arxiv="2508.05613",
        formula="r = sigmoid(z); then a step on sum m -log sigmoid(z_right - z_wrong) / sum m, pairs from the rollouts",
        code="ZJU-REAL/cooper@a7e0c38",
        parity="authors' pair loss on three pairs, to 1e-6",
        kind="strategy",
        needs=("a reward model", "a verifier", "an assistant", "column answer"),
    )
)
def cooper(
    logits: Callable[[Sequence[str]], Tensor],
    parameters: Iterable[nn.Parameter],
    *,
    rule: Rule,
    corrupt: Corrupt,
    differs: Differs,
    learning_rate: float = 1e-5,
    micro_batch: int = 8,
) -> OnlineRewardModel:
    """Cooper: train the reward model on what the policy does now, so that the policy cannot settle in its faults.

        r = sigmoid(z)                                                                 reward, as VerifyRM
        L = sum_i m_i * -log sigmoid(z_i_right - z_i_wrong) / sum_i m_i                 then, on raw logits

    It is a reward function: hand it to a trainer among its rewards. Each call learns from the pairs of the call before
    (:func:`concord.strategies.pairs.right_and_wrong`), scores, and makes pairs for the next.

    Args:
        logits: ``[n]`` for n texts of :func:`concord.rewards.published.verifier_input`, with gradients.
        parameters: of the model behind ``logits``; on their devices and in their type already.
        rule: finds the right responses; a rollout is right if its score is exactly 1.
        corrupt: an assistant that makes a right response wrong (temperature 0.7 in the authors' runs, three tries).
        differs: says whether it is.
        learning_rate: of AdamW with weight decay 0.01; the authors' warm-up, over 1 % of the steps, is not here.
        micro_batch: pairs in one forward pass; the mean is over micro-batches, so in one with few valid pairs
            each counts more, as in the authors' code.

    Differences: the authors divide by ``sum m + 1e-6``, lower by a millionth or less; theirs decays the weights also
    in a batch without valid pairs. It is for one process: several would drift apart. It cannot tell an evaluation from
    training and would learn from it: score held-out data with :func:`concord.rewards.published.verify_rm`.
    Raises: ConfigError for no parameters, or a learning rate or micro-batch that is not positive.
    Source: arXiv:2508.05613.
    """
    parameters = list(parameters)
    if not parameters:
        raise ConfigError("parameters is empty: there is nothing to train beside the policy; give model.parameters()")
    if not learning_rate > 0 or micro_batch < 1:
        raise ConfigError(
            f"learning_rate must be positive and micro_batch at least 1, got {learning_rate} and {micro_batch}"
        )
    return OnlineRewardModel(logits, parameters, rule, corrupt, differs, learning_rate, micro_batch)
