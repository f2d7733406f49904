"""Token scores against the double loop over kernels."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from concord import Groups
from concord.core.errors import BatchError
from concord.functional.token_scores import token_scores

IDS = [0, 1, 0, 1, 0, 2]


def make(seed: int = 0) -> dict[str, Tensor]:
    g, (N, T, H, V) = torch.Generator().manual_seed(seed), (len(IDS), 4, 3, 5)
    probabilities = torch.rand(N, T, V + 2, generator=g, dtype=torch.float64).softmax(2)[..., :V]
    return {
        "hidden": torch.randn(N, T, H, generator=g, dtype=torch.float64),
        "probabilities": probabilities,
        "chosen": torch.randint(0, V, (N, T), generator=g),
        "mask": torch.arange(T) < torch.randint(1, T + 1, (N,), generator=g)[:, None],
        "correct": torch.tensor([True, False, False, True, True, False]),
    }


def slow(x: dict[str, Tensor]) -> Tensor:
    def residual(i: int, t: int) -> Tensor:
        onehot = torch.zeros(x["probabilities"].shape[2], dtype=torch.float64)
        onehot[x["chosen"][i, t]] = 1
        return onehot - x["probabilities"][i, t]

    places = x["mask"].nonzero().tolist()
    scores = torch.zeros(x["mask"].shape, dtype=torch.float64)
    for i, t in places:
        for j, s in places:
            if IDS[j] == IDS[i] and x["correct"][j]:
                scores[i, t] += (residual(i, t) @ residual(j, s)) * (x["hidden"][i, t] @ x["hidden"][j, s])
    return scores


@pytest.mark.parametrize("seed", range(3))
def test_the_matrix_form_is_the_double_loop(seed: int) -> None:
    """Ragged, interleaved groups; the third has no correct response, so nothing to be shared."""
    x = make(seed)
    scores = token_scores(**x, groups=Groups.of(IDS))
    torch.testing.assert_close(scores, slow(x))
    assert (scores[5] == 0).all()
    assert (scores[~x["mask"]] == 0).all()


def test_what_is_off_the_mask_does_not_count() -> None:
    x = make(1)
    there = x["mask"][..., None]
    dirty = x | {name: torch.where(there, x[name], torch.nan) for name in ("hidden", "probabilities")}
    groups = Groups.of(IDS)
    assert torch.equal(token_scores(**dirty, groups=groups), token_scores(**x, groups=groups))


@pytest.mark.parametrize("name", ["hidden", "probabilities", "chosen", "correct"])
def test_shapes_that_do_not_fit(name: str) -> None:
    x = make()
    with pytest.raises(BatchError, match=name):
        token_scores(**x | {name: x[name][:-1]}, groups=Groups.of(IDS))
