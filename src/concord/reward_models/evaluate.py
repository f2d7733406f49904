"""The evaluation of a reward model on sets of pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.console import Console

from concord.reward_models.measures import Accuracy, Calibration, LengthLink, Styles, by_length
from concord.reward_models.pairs import Pair
from concord.reward_models.score import Reward, Scores, score


@dataclass(frozen=True)
class SetEvaluation:
    """What was found on one set of pairs.

    Attributes:
        accuracy: over all pairs.
        shorter_chosen, longer_chosen: over the pairs whose chosen answer is the shorter, the longer one.
        by_length: by the ratio of lengths.
        length: how the reward goes with length.
        calibration: confidence against accuracy.
        styles: None where the data does not name any.
    """

    accuracy: Accuracy
    shorter_chosen: Accuracy
    longer_chosen: Accuracy
    by_length: dict[str, Accuracy]
    length: LengthLink
    calibration: Calibration
    styles: Styles | None


def measure(scores: Scores, pairs: Sequence[Pair]) -> SetEvaluation:
    """All there is to say about one set of scored pairs."""
    styles = [pair.styles for pair in pairs if pair.styles is not None]
    return SetEvaluation(
        accuracy=Accuracy.of(scores.margin),
        shorter_chosen=Accuracy.of(scores.margin[scores.longer < 0]),
        longer_chosen=Accuracy.of(scores.margin[scores.longer > 0]),
        by_length=by_length(scores),
        length=LengthLink.of(scores),
        calibration=Calibration.of(scores.margin),
        styles=Styles.of(scores.margin, styles) if styles and len(styles) == len(pairs) else None,
    )


def evaluate(
    reward: Reward, sets: Mapping[str, Sequence[Pair]], *, slope: float = 0.0, console: Console | None = None
) -> dict[str, SetEvaluation]:
    """Score every set of pairs and measure.

    Args:
        reward: see :func:`concord.reward_models.score.score`.
        sets: pairs by name.
        slope: reward per character to subtract first; see :func:`concord.reward_models.residual.length_slope`.
        console: where progress is shown; None = nowhere.
    """
    return {
        name: measure(score(reward, pairs, console=console, title=f"Scoring {name}").without_length(slope), pairs)
        for name, pairs in sets.items()
    }
