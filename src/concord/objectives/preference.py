"""Preference losses as records of slots."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from concord.objectives.batch import Mean
from concord.objectives.pair_loss import PairLoss
from concord.objectives.pairs import PairBatch
from concord.objectives.score import Score
from concord.objectives.sft import ChosenNll


class PreferenceLoss(NamedTuple):
    """The scalar to minimise, what was measured on the way, and the labels at the next visit.

    ``labels`` is ``[B]``, for the engine to keep pair by pair; None where the objective remembers none.
    """

    loss: Tensor
    metrics: dict[str, Mean]
    labels: Tensor | None


@dataclass(frozen=True)
class PreferenceObjective:
    """A loss over preference pairs: score, loss of a pair, further terms.

        loss = mean over pairs of loss(score(chosen), score(rejected)) + sum(terms)

    The mean is the micro-batch's own, as in TRL: micro-batches of one size add up to the batch.

    Attributes:
        score: what stands for a response.
        loss: what two scores cost, or one against a demonstration.
        terms: added, each with its own coefficient.

    Example:
        >>> import torch
        >>> from concord.objectives import Logistic, LogRatio, Responses
        >>> chosen, rejected = torch.tensor([-3.0], requires_grad=True), torch.tensor([-5.0], requires_grad=True)
        >>> lengths, same = torch.tensor([4]), torch.tensor([-4.0])
        >>> pairs = PairBatch(Responses(chosen, lengths, same), Responses(rejected, lengths, same))
        >>> loss = PreferenceObjective(LogRatio(), Logistic(beta=0.5))(pairs).loss
        >>> loss.backward()
        >>> round(loss.item(), 4), chosen.grad.item() == -rejected.grad.item() < 0
        (0.3133, True)
    """

    score: Score
    loss: PairLoss
    terms: tuple[ChosenNll, ...] = ()

    def __call__(self, batch: PairBatch) -> PreferenceLoss:
        """The loss of one micro-batch; 0 of an empty one.

        Metrics: ``score_chosen``, mean of beta times the chosen score; and where the rejected one is read
        ``score_rejected``, ``margin`` and ``accuracy``, the share of pairs whose chosen score is higher;
        ``label``, mean of the labels at the next visit, where they are remembered.
        """
        chosen, rejected = self.score(batch.chosen), self.score(batch.rejected)
        each = self.loss(chosen, rejected, batch)
        loss = each.sum() / max(1, len(each))
        for term in self.terms:
            loss = loss + term(batch)
        with torch.no_grad():
            labels = self.loss.relabel(chosen, rejected, batch)
            metrics = self._measured(chosen, rejected)
            if labels is not None:
                metrics["label"] = _mean(labels)
        return PreferenceLoss(loss, metrics, labels)

    @property
    def reads(self) -> frozenset[str]:
        """The columns that it reads in ``PairBatch.columns``."""
        return self.loss.reads

    @property
    def needs_reference(self) -> bool:
        """Whether it reads the reference policy."""
        return self.score.needs_reference

    def _measured(self, chosen: Tensor, rejected: Tensor) -> dict[str, Mean]:
        beta = self.loss.beta
        metrics = {"score_chosen": _mean(beta * chosen)}
        if self.loss.reads_rejected:
            metrics["score_rejected"] = _mean(beta * rejected)
            metrics["margin"] = _mean(beta * (chosen - rejected))
            metrics["accuracy"] = _mean((chosen > rejected).to(chosen.dtype))
        return metrics


def _mean(x: Tensor) -> Mean:
    return Mean(x.sum(), torch.tensor(float(len(x)), device=x.device))
