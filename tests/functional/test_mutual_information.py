"""CLUB against the authors' numbers, a slow loop and its limits; the binned estimate against known laws."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import Tensor

from concord.core.errors import BatchError
from concord.functional.mutual_information import binned_information, club

FILES = sorted((Path(__file__).parents[1] / "golden").glob("dir_club_*.safetensors"))


def network(golden: dict[str, Tensor]) -> torch.nn.Sequential:
    """The authors' net: one linear layer, or two with a ReLU between."""
    weights = {name.removeprefix("net/variational_net."): v for name, v in golden.items() if name.startswith("net/")}
    if "weight" in weights:
        weights = {f"0.{name}": value for name, value in weights.items()}
    layers: list[torch.nn.Module] = []
    for index in sorted({int(name[0]) for name in weights}):
        layers += [torch.nn.ReLU()] * bool(layers)
        layers.append(torch.nn.Linear(*reversed(weights[f"{index}.weight"].shape)))
    net = torch.nn.Sequential(*layers)
    net.load_state_dict(weights)
    return net


def loop(logits: Tensor, labels: Tensor) -> float:
    """The definition, term by term."""
    log_q = torch.log(torch.softmax(logits.double(), 1))
    rows = [i for i in range(len(labels)) if labels[i] >= 0]
    matched = sum(float(log_q[i, labels[i]]) for i in rows) / len(rows)
    return matched - sum(float(log_q[i, labels[j]]) for i in rows for j in rows) / len(rows) ** 2


def test_there_are_golden_files() -> None:
    assert len(FILES) == 3


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_authors_numbers(path: Path) -> None:
    golden = load_file(path)
    logits = network(golden)(golden["x"])
    torch.testing.assert_close(club(logits, golden["y"]), golden["club"], rtol=0, atol=2e-7)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(-1, 2), min_size=1, max_size=12).filter(lambda rows: max(rows) >= 0), st.integers(0, 99))
def test_it_is_the_double_loop(labels: list[int], seed: int) -> None:
    logits = torch.randn(len(labels), 3, generator=torch.Generator().manual_seed(seed))
    assert float(club(logits, torch.tensor(labels))) == pytest.approx(loop(logits, torch.tensor(labels)), abs=1e-6)


@pytest.mark.parametrize("labels", [[1] * 7, [0] * 7, [-1] * 7, [-1, 1, 1, -1, 1, 1, 1]])
def test_constant_or_no_labels_give_exactly_zero(labels: list[int]) -> None:
    logits = (10 * torch.randn(7, 2)).requires_grad_()
    found = club(logits, torch.tensor(labels))
    found.backward()
    assert float(found.detach()) == 0
    assert torch.equal(logits.grad, torch.zeros(7, 2))  # type: ignore[arg-type]


def test_rows_without_a_label_change_nothing_even_as_nan() -> None:
    logits, labels = torch.randn(6, 2), torch.tensor([0, 1, 1, 0, 1, 0])
    more = torch.cat([logits, torch.full((2, 2), math.nan)]).requires_grad_()
    found = club(more, torch.cat([labels, torch.tensor([-1, -1])]))
    found.backward()
    assert float(found.detach()) == pytest.approx(float(club(logits, labels)))
    assert torch.equal(more.grad[6:], torch.zeros(2, 2))  # type: ignore[index]


def test_its_gradient() -> None:
    labels = torch.tensor([0, 2, 1, -1, 2])
    logits = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: club(x, labels), (logits,))


def test_the_gradient_with_the_classifier_frozen_points_along_its_contrast() -> None:
    """By hand, one linear layer and two labels: dI/dx_i = (1[b_i = 1] - share) (w_1 - w_0) / N."""
    weight, labels = torch.randn(2, 4), torch.tensor([1, 0, 0, 1, 1])
    x = torch.randn(5, 4, requires_grad=True)
    club(x @ weight.T, labels).backward()
    want = (labels - 0.6)[:, None] * (weight[1] - weight[0]) / 5
    torch.testing.assert_close(x.grad, want)


def test_independence_gives_about_zero_and_dependence_does_not() -> None:
    """q known exactly: x = b + noise of deviation 1, so log q(1|x) - log q(0|x) = x - 1/2."""
    labels = torch.randint(0, 2, (20_000,))
    noise = torch.randn(20_000)
    for shift, low, high in ((0.0, -0.01, 0.01), (1.0, 0.2, 0.3)):  # CLUB is 1/4 there, the true value 0.11
        x = shift * labels + noise
        logits = torch.stack([torch.zeros_like(x), x - 0.5], 1)
        assert low < float(club(logits, labels)) < high


@pytest.mark.parametrize(
    ("logits", "labels", "message"),
    [
        (torch.zeros(3, 2), torch.tensor([0, 2, 1]), r"in \[0, 2\)"),
        (torch.zeros(3, 2), torch.tensor([0, -2, 1]), r"or -1 for none; got \[-2, 0, 1\]"),
        (torch.zeros(3, 2), torch.tensor([0, 1]), "do not fit"),
        (torch.zeros(3), torch.tensor([0, 1, 0]), "do not fit"),
    ],
)
def test_what_does_not_fit_is_named(logits: Tensor, labels: Tensor, message: str) -> None:
    with pytest.raises(BatchError, match=message):
        club(logits, labels)


def test_binned_information_of_known_laws() -> None:
    x, noise = torch.randn(20_000), torch.randn(20_000)
    assert binned_information(x, noise) < 0.002
    correlated = 0.8 * x + 0.6 * noise
    assert binned_information(x, correlated, bins=16) == pytest.approx(-0.5 * math.log(1 - 0.64), abs=0.03)
    assert binned_information(x, x, bins=8) == pytest.approx(math.log(8), abs=0.01)
    assert binned_information(x, -x.exp()) == pytest.approx(binned_information(x, x))  # ranks are all it sees


def test_binned_information_where_there_is_little_to_see() -> None:
    assert math.isnan(binned_information(torch.arange(19.0), torch.arange(19.0)))
    assert binned_information(torch.zeros(100), torch.randn(100)) == 0
    few = [binned_information(torch.randn(320), torch.randn(320)) for _ in range(200)]
    assert sum(few) / 200 < 0.02  # 49 / 640 = 0.077 without the correction
    with pytest.raises(BatchError, match="one length"):
        binned_information(torch.zeros(3), torch.zeros(4))
