"""verl's own advantages, to be timed beside Concord's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor


def grpo(scores: Tensor, lengths: Tensor, ids: Sequence[str]) -> Callable[[], Any]:
    """verl's GRPO on ``[N]`` scores, which it reads as ``[N, T]`` with the score on the last token.

    Raises: ImportError: verl is not installed.
    """
    from verl.trainer.ppo import core_algos

    mask = (torch.arange(int(lengths.max())) < lengths[:, None]).float()
    tokens = torch.zeros_like(mask)
    tokens[torch.arange(len(mask)), lengths - 1] = scores
    return lambda: core_algos.compute_grpo_outcome_advantage(tokens, mask, index=ids)
