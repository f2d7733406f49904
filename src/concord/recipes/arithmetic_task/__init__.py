"""The built-in arithmetic task: sums of small numbers, worked out in steps, of which many orders are right.

    prompt      8 + 5 - 3 + 9
    answer      8 + 5 = 13
                13 - 3 = 10
                10 + 9 = 19
                answer 19

The answer alone decides what is correct. Any order of the terms that starts with a positive one leads to it, and so, at
times, does a guess or a chain with two faults; :func:`sound` tells these apart from a derivation. The split "hard" has
longer sums than training. For CLIPO (arXiv:2603.10101), which asks what the correct rollouts of a prompt have in
common: ``recipes/arithmetic.yaml``, ``benchmarks/clipo.py``.
"""

from __future__ import annotations

from pathlib import Path

from concord.recipes.arithmetic_task.problems import rows
from concord.recipes.arithmetic_task.rewards import correct, format, sound
from concord.recipes.builtin import base_model

__all__ = ["base_model_path", "correct", "format", "rows", "sound"]


def base_model_path(seed: int = 0) -> Path:
    """The folder of the base model that ships with the task; made by ``scripts/train_arithmetic_base.py``.

    Raises: ValueError for a seed that does not ship.

    Example:
        >>> (base_model_path() / "config.json").is_file()
        True
    """
    return base_model(Path(__file__).parent / "base_model", seed)
