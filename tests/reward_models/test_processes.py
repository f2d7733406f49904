"""Two processes (gloo) make the updates that one would make of their joined pairs."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.reward_models import tiny
from tests.reward_models.worker import CASES, run, train


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return run(tmp_path_factory.mktemp("two"), 2)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return train(tmp_path_factory.mktemp("one"), 1)


@pytest.mark.parametrize("case", CASES)
def test_they_end_where_one_process_does(ranks: list[dict[str, Any]], alone: dict[str, Any], case: str) -> None:
    start = tiny.decoder().state_dict()
    for name, value in alone[case]["weights"].items():
        for rank in ranks:
            torch.testing.assert_close(rank[case]["weights"][name], value, rtol=1e-3, atol=2e-5)
    assert max(float((value - start[name]).abs().max()) for name, value in alone[case]["weights"].items()) > 0.05


@pytest.mark.parametrize("case", CASES)
def test_both_hold_the_same_model_and_the_same_probe(ranks: list[dict[str, Any]], case: str) -> None:
    for part in ("weights", "probe"):
        for name, value in ranks[0][case][part].items():
            assert torch.equal(ranks[1][case][part][name], value), f"{part} {name}"


def test_the_logged_numbers_are_the_joined_pairs(ranks: list[dict[str, Any]], alone: dict[str, Any]) -> None:
    for key in ("loss", "length/information", "length/probe_loss", "correlation/squared"):
        for one, other in zip(ranks[0]["update"]["log"][:-1], alone["update"]["log"][:-1], strict=True):
            assert one[key] == pytest.approx(other[key], rel=1e-3, abs=1e-4), key
