"""The easy rows first, by how hard they were found to be."""

from __future__ import annotations

import math
import random
from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from concord.core.catalogue import Card, register
from concord.core.errors import ConfigError

K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True)
class Curriculum:
    """Rows in stages of rising difficulty, shuffled within each.

    Attributes:
        stages: of as equal sizes as can be.
        seed: of the shuffles.
    """

    stages: int
    seed: int

    def order(self, difficulty: Sequence[float]) -> list[int]:
        """The indices of the rows in the order in which to train on them; each once.

        Rows of equal difficulty are kept in their order when the stages are cut; a row whose difficulty is NaN, never
        measured, counts as hardest.
        """
        ranked = sorted(range(len(difficulty)), key=lambda i: math.inf if math.isnan(difficulty[i]) else difficulty[i])
        shuffle = random.Random(self.seed)
        found: list[int] = []
        for stage in range(self.stages):
            part = ranked[len(ranked) * stage // self.stages : len(ranked) * (stage + 1) // self.stages]
            shuffle.shuffle(part)
            found += part
        return found


def measured(prompts: Sequence[K], rewards: Sequence[float], best: float = 1.0) -> dict[K, float]:
    """How hard each prompt was for a policy: ``best`` minus the mean reward of its rollouts, those scored.

    A prompt with no scored rollout is NaN.

    Example:
        >>> measured(["a", "a", "b"], [1.0, 0.0, 1.0])
        {'a': 0.5, 'b': 0.0}
    """
    scores: dict[K, list[float]] = defaultdict(list)
    for prompt, reward in zip(prompts, rewards, strict=True):
        scores[prompt] += [] if math.isnan(reward) else [reward]
    return {prompt: best - sum(found) / len(found) if found else math.nan for prompt, found in scores.items()}


@register(
    Card(
        title="CRAFT-GUI: Curriculum-Reinforced Agent For GUI Tasks",
        arxiv="2508.11360",
        formula="rows sorted by difficulty, cut into stages, shuffled within each",
        certainty="low",
        kind="strategy",
        needs=("a difficulty for each row",),
    )
)
def curriculum(*, stages: int = 3, seed: int = 0) -> Curriculum:
    """A curriculum: what is easy before what is hard, in stages.

        rank rows by difficulty, cut into equal stages, shuffle within each

    The difficulty is any number a row: how long its solution is, or how often a policy failed on it
    (:func:`measured`). In TRL, :func:`concord.engines.trl.curriculum.in_order` arranges a data set so.

    Args:
        stages: 1 is a plain shuffle; as many as rows sorts them.
        seed: of the shuffles.

    Assumed: the paper says that tasks go in stages from short and easy to long and complex; its bounds were not
    found, nor whether earlier tasks come back, so equal stages are our design. The hybrid reward of the paper is a
    reward function that looks at the kind of row.
    Raises: ConfigError for fewer than one stage.
    Source: in the spirit of arXiv:2508.11360.

    Example:
        >>> curriculum(stages=4).order([0.9, 0.1, float("nan"), 0.5])
        [1, 3, 0, 2]
    """
    if stages < 1:
        raise ConfigError(f"a curriculum has at least one stage, got {stages}")
    return Curriculum(stages, seed)
