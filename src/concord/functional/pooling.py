"""From the hidden states of a response to one vector."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

Pool = Callable[[Tensor, Tensor], Tensor]
"""States ``[N, T, H]`` at the response's tokens and a mask ``[N, T]`` bool of those that are there: ``[N, H]``."""


def mean_pool(states: Tensor, mask: Tensor) -> Tensor:
    """The mean over the response's tokens, in float32; 0 for a response of none.

        pooled[n] = sum_t h[n, t] / length[n]

    Example:
        >>> import torch
        >>> states = torch.tensor([[[1.0, 2.0], [3.0, 4.0], [9.0, 9.0]]])
        >>> mean_pool(states, torch.tensor([[True, True, False]]))
        tensor([[2., 3.]])
    """
    return _total(states, mask) / mask.sum(1, keepdim=True).clamp(min=1)


def decoded_pool(states: Tensor, mask: Tensor) -> Tensor:
    """The states that decoding passes through, over all tokens: CLIPO's authors' way.

        pooled[n] = sum_{t < length[n]} h[n, t] / length[n]

    An engine that generates never computes the state of the last token, and the authors add up what it computes
    after the prompt. So the last state is left out, and the divisor is one too large; a linear head without bias
    does not see the divisor. A response of one token has no such state and gives 0.

    Source: Qwen-Applications/CLIPO@13c5fd6, ``modified/scheduler_output_processor_mixin.py``.

    Example:
        >>> import torch
        >>> states = torch.tensor([[[1.0, 2.0], [3.0, 4.0], [9.0, 9.0]]])
        >>> decoded_pool(states, torch.tensor([[True, True, False]]))
        tensor([[0.5000, 1.0000]])
    """
    last = mask & (mask.flip(1).cumsum(1).flip(1) == 1)
    return _total(states, mask & ~last) / mask.sum(1, keepdim=True).clamp(min=1)


POOLS: dict[str, Pool] = {"mean": mean_pool, "authors": decoded_pool}


def _total(states: Tensor, mask: Tensor) -> Tensor:
    # Masked before the sum, not by multiplication: padding may hold anything, also NaN.
    return states.float().masked_fill(~mask[..., None], 0).sum(1)
