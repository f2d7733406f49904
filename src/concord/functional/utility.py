"""Utilities of a return, and how to pay them out turn by turn."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from concord.core.errors import ConfigError


def utility_increments(rewards: Tensor, utility: Callable[[Tensor], Tensor], stock: float = 0.0) -> Tensor:
    """What each turn adds to the utility of the return: ``[..., T] -> [..., T]``.

        u[t] = f(c[t + 1]) - f(c[t]),      c[0] = stock,  c[t + 1] = c[t] + r[t]

    The increments add up to f(stock + return) - f(stock), whatever f: a utility of the whole episode is given densely
    and the episode's objective stays the same. The stock is what the agent has so far; with it, a reward that helps a
    poor episode can count for more than the same reward in a rich one.

    Args:
        rewards: of each turn, 0 after the last. A turn that was not scored (NaN, infinite) adds nothing.
        utility: f, applied to every element.
        stock: c[0], what an episode begins with, in the reward's units.

    Source: the stock of arXiv:2501.13028, without discount; that it may be paid out along the turns follows from the
    sum above and is not in the paper.

    Example:
        >>> utility_increments(torch.tensor([0.5, -1.0, 2.0]), lambda c: c.clamp(max=0.0), stock=-0.25)
        tensor([ 0.2500, -0.7500,  0.7500])
    """
    gained = torch.where(rewards.isfinite(), rewards, 0).cumsum(-1) + stock
    before = torch.cat([torch.full_like(gained[..., :1], stock), gained[..., :-1]], -1)
    return utility(gained) - utility(before)


def mean_cvar_utility(x: Tensor, alpha: float, mean: float = 0.0) -> Tensor:
    """The utility whose best stock gives a mixture of the mean and the mean of the worst: elementwise.

        f(x) = ((1 - mean) / alpha + mean) * min(x, 0) + mean * max(x, 0)

    With ``mean=0``, CVaR_alpha(X) = max over b of b + E f(X - b), and b is the alpha-quantile of X.

    Args:
        x: returns less the stock's level b.
        alpha: the share of outcomes that is the tail, in (0, 1].
        mean: the weight of the plain mean, in [0, 1]; 1 leaves x as it is.

    Raises: ConfigError for an alpha or a mean outside its range.
    Source: arXiv:2501.13028; the form is that of MehrdadMoghimi/RIGOR@5522930.

    Example:
        >>> mean_cvar_utility(torch.arange(-2.0, 8.0), alpha=0.25).mean()
        tensor(-1.2000)
    """
    if not (0 < alpha <= 1 and 0 <= mean <= 1):
        raise ConfigError(f"need 0 < alpha <= 1 and 0 <= mean <= 1, got alpha {alpha}, mean {mean}")
    return ((1 - mean) / alpha + mean) * x.clamp(max=0) + mean * x.clamp(min=0)
