"""Named rewards out of what reward functions returned, where an engine hands on a dict for each rollout."""

from __future__ import annotations

import numbers
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from concord.core.errors import RewardError, nearest
from concord.core.status import INVALID
from concord.rewards.scores import read_score


def named_rewards(infos: Sequence[Mapping[str, Any]], names: Sequence[str]) -> Tensor:
    """``[N, K]`` float32: the rewards of these names in what a reward function returned for each rollout.

    A rollout whose dict lacks the key, or has None, NaN or an infinity there, was not scored by that reward: NaN.

    Raises:
        RewardError: a name that no dict has (the nearest is named), or as :func:`from_columns`.

    Example:
        >>> named_rewards([{"score": 1.0, "right": True}, {"score": 0.0}], ["right"])
        tensor([[1.],
                [nan]])
    """
    found = dict.fromkeys(key for info in infos for key in info)
    for name in names:
        if infos and name not in found:
            raise RewardError(
                f"the reward function returned no {name!r} for any rollout; it returned "
                f"{', '.join(map(repr, found))}" + nearest(name, map(str, found))
            )
    return from_columns({name: [info.get(name) for info in infos] for name in names})


def from_columns(columns: Mapping[str, Sequence[Any]]) -> Tensor:
    """``[N, K]`` float32: the same from one column a reward, N entries each.

    Raises:
        RewardError: a column without a single number, NaN or None.
    """
    return torch.tensor([_numbers(name, column) for name, column in columns.items()], dtype=torch.float32).T


def _numbers(name: str, entries: Sequence[Any]) -> list[float]:
    scores = [read_score(entry) for entry in entries]
    unusable = (s.status == INVALID and not isinstance(e, numbers.Real) for s, e in zip(scores, entries, strict=True))
    if scores and all(unusable):
        raise RewardError(f"the reward function's {name!r} is no reward: it {scores[0].error}")
    return [torch.nan if score.value is None else score.value for score in scores]
