"""How much one thing says about another, in nats."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from concord.core.errors import BatchError
from concord.functional.correlation import ranks

UNLABELLED = -1
"""The label of a row that takes no part."""


def club(logits: Tensor, labels: Tensor) -> Tensor:
    """CLUB, an upper bound on the mutual information of a vector x and a label b: ``[N, C], [N] -> []``.

        I = mean_i log q(b_i | x_i) - mean_ij log q(b_j | x_i)
          = mean_i sum_c (1[b_i = c] - share_c) log q(c | x_i),      q(. | x_i) = softmax(logits[i])

    The double mean runs over all pairs, i = j included. ``share_c`` is the share of label c among the rows: the second
    line needs N x C terms and not N x N. It is a bound where q is the true conditional, and an estimate elsewhere; it
    may be negative.

    Args:
        logits: of the variational classifier q.
        labels: integers in [0, C); -1 leaves a row out.

    Degenerate: rows that all have one label give exactly 0, with zero gradient; so does no row at all.

    Raises:
        BatchError: shapes that do not fit, or a label outside [-1, C).

    Source: Cheng et al. 2020, arXiv:2006.12013, as DIR uses it for categorical labels, arXiv:2512.23461. The authors'
    code has the first line; the difference is rounding, below 2e-7 on their numbers.

    Example:
        >>> club(torch.tensor([[3.0, -3.0], [-3.0, 3.0]]), torch.tensor([0, 1]))
        tensor(3.)
        >>> club(torch.tensor([[3.0, -3.0], [-3.0, 3.0]]), torch.tensor([1, 1]))
        tensor(0.)
    """
    if logits.ndim != 2 or labels.shape != logits.shape[:1]:
        raise BatchError(f"logits [N, C] and labels [N] do not fit: {tuple(logits.shape)} and {tuple(labels.shape)}")
    count = logits.shape[1]
    if len(labels) and not (int(labels.min()) >= UNLABELLED and int(labels.max()) < count):
        raise BatchError(
            f"labels must be in [0, {count}), or {UNLABELLED} for none; got {sorted(set(labels.tolist()))}"
        )
    there = labels != UNLABELLED
    logits, labels = logits[there], labels[there]
    ones = one_hot(labels, count).to(logits.dtype)
    rows = max(1, len(labels))
    contrast = ones - ones.sum(0) / rows
    return (contrast * logits.log_softmax(1)).sum() / rows


def binned_information(x: Tensor, y: Tensor, *, bins: int = 8) -> float:
    """Mutual information of two numbers, from a table of equally filled bins.

        I = sum_ab p(a, b) log(p(a, b) / (p(a) p(b))) - (cells - rows - columns + 1) / 2N

    The second term is Miller and Madow's correction for the bias of the first; cells, rows and columns count what is
    not empty. Equal values share a bin. With few points there are fewer bins, five points a cell on average.

    Args:
        x, y: ``[N]``, finite.
        bins: for each of the two, at most.

    Returns:
        Nats, never negative; 0 if either is constant; NaN for fewer than 20 points, which say nothing.

    Example:
        >>> x = torch.linspace(-1, 1, 1000)
        >>> binned_information(x, x * x) > 1.0, binned_information(x, torch.ones(1000))
        (True, 0.0)
    """
    if x.shape != y.shape or x.ndim != 1:
        raise BatchError(f"x and y must be of one length, got {tuple(x.shape)} and {tuple(y.shape)}")
    bins = min(bins, math.isqrt(len(x) // 5))
    if bins < 2:
        return math.nan
    table = torch.zeros(bins, bins, dtype=torch.float64)
    cells = [(ranks(values) * bins / len(x)).long() for values in (x, y)]
    table.index_put_(tuple(cells), torch.tensor(1.0, dtype=torch.float64), accumulate=True)
    joint = table / len(x)
    rows, columns = joint.sum(1, keepdim=True), joint.sum(0, keepdim=True)
    filled = joint > 0
    plain = (joint * (joint / (rows * columns).clamp(min=1e-300)).log()).nan_to_num(0.0).sum()
    surplus = int(filled.sum()) - int((rows > 0).sum()) - int((columns > 0).sum()) + 1
    return max(0.0, float(plain) - surplus / (2 * len(x)))
