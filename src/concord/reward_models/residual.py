"""Taking length out of the scores of a trained model, with a straight line."""

from __future__ import annotations

from concord.reward_models.score import Scores


def length_slope(scores: Scores) -> float:
    """Reward per character, within pairs: least squares over pairs, each counted in both orders.

        slope = sum(dr dl) / sum(dl^2),      dr = r_chosen - r_rejected,  dl = l_chosen - l_rejected

    ``scores.without_length(slope)`` are the residualised scores: over the pairs that the slope was fitted on, their
    differences do not correlate with those of length any more. What depends on length in another way stays. Counting
    both orders leaves no constant, and prompts that go with long answers play no part.

    Degenerate: 0 where the answers of every pair are of equal length.

    Example:
        >>> import torch
        >>> r, l = torch.tensor([3.0, 1.0]), torch.tensor([30.0, 10.0])
        >>> length_slope(Scores(r, torch.zeros(2), l, torch.zeros(2)))
        0.1
    """
    squares = float(scores.longer.square().sum())
    return float((scores.margin * scores.longer).sum()) / squares if squares else 0.0
