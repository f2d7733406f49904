"""How good a reward model is, and how biased: numbers from scored pairs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from concord.functional.correlation import pearson, spearman
from concord.functional.mutual_information import binned_information
from concord.reward_models.score import Scores

RATIOS = {
    "less than half as long": (0.0, 0.5),
    "shorter": (0.5, 0.9),
    "about equal": (0.9, 1.1),
    "longer": (1.1, 2.0),
    "more than twice as long": (2.0, math.inf),
}
"""Buckets of pairs by the chosen answer's length over the rejected one's: from, and up to but without."""

BINS = 5
"""Bins of the calibration curve, of equal width, from one half to one."""


@dataclass(frozen=True)
class Accuracy:
    """In how many pairs the chosen answer has the higher reward; equal rewards count one half.

    Attributes:
        pairs: how many there are.
        share: NaN where there is no pair.
        low, high: Wilson's 95 % interval.
    """

    pairs: int
    share: float
    low: float
    high: float

    @classmethod
    def of(cls, margin: Tensor) -> Accuracy:
        """From the chosen answers' rewards minus the rejected ones'.

        Example:
            >>> Accuracy.of(torch.tensor([1.0, 2.0, -1.0, 0.0])).share
            0.625
        """
        count = len(margin)
        if not count:
            return cls(0, math.nan, math.nan, math.nan)
        share = float(((margin > 0).double() + (margin == 0).double() / 2).mean())
        z = 1.959964
        middle = (share + z * z / (2 * count)) / (1 + z * z / count)
        reach = z / (1 + z * z / count) * math.sqrt(share * (1 - share) / count + z * z / (4 * count**2))
        # Wilson's interval holds the share, but for rounding where all verdicts are alike.
        return cls(count, share, max(0.0, min(share, middle - reach)), min(1.0, max(share, middle + reach)))


@dataclass(frozen=True)
class LengthLink:
    """How the reward goes with the length of an answer, over all answers of a set.

    Attributes:
        pearson, spearman: correlations; 0 where either is constant.
        information: mutual information in nats, from equally filled bins; NaN for fewer than 20 answers.
    """

    pearson: float
    spearman: float
    information: float

    @classmethod
    def of(cls, scores: Scores) -> LengthLink:
        """From both answers of every pair."""
        rewards = torch.cat([scores.chosen, scores.rejected])
        lengths = torch.cat([scores.chosen_length, scores.rejected_length])
        return cls(
            float(pearson(rewards, lengths)), float(spearman(rewards, lengths)), binned_information(rewards, lengths)
        )


@dataclass(frozen=True)
class Bin:
    """Pairs whose winner the model is about equally sure of: how sure, and how often it is right."""

    pairs: int
    confidence: float
    accuracy: float


@dataclass(frozen=True)
class Calibration:
    """sigmoid(|margin|), the model's probability of its own verdict, against how often the verdict is right.

    Attributes:
        bins: those that hold a pair, by rising confidence.
        error: expected calibration error, the mean gap of the two over pairs; NaN without pairs.
    """

    bins: tuple[Bin, ...]
    error: float

    @classmethod
    def of(cls, margin: Tensor) -> Calibration:
        """From the chosen answers' rewards minus the rejected ones'."""
        confidence = margin.abs().sigmoid()
        right = (margin > 0).double() + (margin == 0).double() / 2
        place = ((confidence - 0.5) * 2 * BINS).long().clamp(max=BINS - 1)
        bins = [
            Bin(int(here.sum()), float(confidence[here].mean()), float(right[here].mean()))
            for here in (place == index for index in range(BINS))
            if here.any()
        ]
        gaps = sum(b.pairs * abs(b.confidence - b.accuracy) for b in bins)
        return cls(tuple(bins), gaps / len(margin) if len(margin) else math.nan)


@dataclass(frozen=True)
class Styles:
    """Accuracy by the styles of the two answers, as RM-Bench has it.

    Attributes:
        matrix: by the chosen answer's style, then the rejected one's, from the plainest.
        easy, normal, hard: mean accuracy where the chosen answer is the fancier one, both are alike, or the rejected
            one is the fancier.
    """

    matrix: tuple[tuple[float, ...], ...]
    easy: float
    normal: float
    hard: float

    @classmethod
    def of(cls, margin: Tensor, styles: Sequence[tuple[int, int]]) -> Styles:
        """From margins, and the styles of chosen and rejected answer."""
        count = 1 + max(max(pair) for pair in styles)
        chosen, rejected = torch.tensor(styles).T
        cells = [
            [Accuracy.of(margin[(chosen == i) & (rejected == j)]).share for j in range(count)] for i in range(count)
        ]
        matrix = torch.tensor(cells, dtype=torch.float64)
        upper = torch.ones(count, count, dtype=torch.bool).triu(1)
        return cls(
            tuple(map(tuple, cells)),
            float(matrix[upper.T].mean()),
            float(matrix.diagonal().mean()),
            float(matrix[upper].mean()),
        )


def by_length(scores: Scores) -> dict[str, Accuracy]:
    """Accuracy by how much longer the chosen answer is; see :data:`RATIOS`. Two empty answers are about equal."""
    ratio = (scores.chosen_length / scores.rejected_length).nan_to_num(nan=1.0, posinf=1e9)
    return {name: Accuracy.of(scores.margin[(ratio >= low) & (ratio < high)]) for name, (low, high) in RATIOS.items()}
