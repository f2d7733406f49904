"""A curriculum in TRL: the order of the rows, and a trainer that keeps to it."""

from __future__ import annotations

from collections.abc import Sequence

from datasets import Dataset

from concord.core.errors import ConfigError, nearest
from concord.strategies import Curriculum


def in_order(dataset: Dataset, difficulty: str | Sequence[float], curriculum: Curriculum) -> Dataset:
    """The rows in the order of a curriculum, to train on with ``ConcordConfig(shuffle_dataset=False)``.

    TRL shuffles unless told not to, and goes through the rows once more in every further epoch; a curriculum that
    shall not start over needs rows for one epoch.

    Args:
        dataset: with the rows at hand, not streamed.
        difficulty: a column of numbers, or one number a row; NaN or None = not measured.
        curriculum: as :func:`concord.strategies.curriculum` builds it.

    Raises:
        ConfigError: no such column, as many numbers as rows are not there, or what is there is no number.
    """
    if isinstance(difficulty, str):
        if difficulty not in dataset.column_names:
            hint = nearest(difficulty, dataset.column_names)
            raise ConfigError(f"no column {difficulty!r}{hint}; there are {', '.join(dataset.column_names)}")
        difficulty = dataset[difficulty][:]
    if len(difficulty) != len(dataset):
        raise ConfigError(f"{len(dataset)} rows and {len(difficulty)} difficulties; give one for each row")
    try:
        numbers = [float("nan") if value is None else float(value) for value in difficulty]
    except (TypeError, ValueError) as error:
        raise ConfigError(f"a difficulty is a number, or None where it was not measured: {error}") from error
    ordered: Dataset = dataset.select(curriculum.order(numbers))
    return ordered
