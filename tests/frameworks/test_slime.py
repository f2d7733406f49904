"""The own rewards of slime and miles, through their dispatchers, with their samples."""

from __future__ import annotations

from typing import Any

import pytest

from concord.rewards.batch import RewardBatch
from concord.rewards.forms.detect import detect
from tests.rewards.forms.asking import ask

pytestmark = pytest.mark.filterwarnings("ignore")

BOXED = [r"so \boxed{42}", r"\boxed{41}"]


@pytest.fixture(params=["slime", "miles"])
def hub(request: pytest.FixtureRequest) -> Any:
    return pytest.importorskip(f"{request.param}.rollout.rm_hub", exc_type=ImportError)


def batch(*completions: str, **columns: Any) -> RewardBatch:
    return RewardBatch(["q"] * len(completions), list(completions), None, columns)


def test_a_rule_that_gives_a_number(hub: Any) -> None:
    assert str(detect(hub.async_rm)) == "slime (parameters args, sample)"
    columns = ask(hub.async_rm, batch(*BOXED, label=["42", "42"]), custom_rm_path=None, rm_type="math")
    assert columns == {"score": [1, 0]}


def test_a_rule_that_gives_a_mapping(hub: Any) -> None:
    data = batch("Answer: 42", "Answer: 7", label=["42", "42"])
    columns = ask(hub.async_rm, data, custom_rm_path=None, rm_type="dapo")
    assert columns["score"] == [1.0, -1.0]
    assert columns["acc"] == [True, False]


def test_the_rule_may_stand_in_the_metadata(hub: Any) -> None:
    data = batch(*BOXED, gold=["42", "42"], meta=[{"rm_type": "math"}] * 2)
    options = {"custom_rm_path": None, "rm_type": None, "label_key": "gold", "metadata_key": "meta"}
    assert ask(hub.async_rm, data, **options) == {"score": [1, 0]}


def test_a_group_is_scored_together(hub: Any) -> None:
    data = RewardBatch(["a", "b", "a"], [*BOXED, BOXED[0]], columns={"label": ["42", "42", "42"]})
    columns = ask(hub.batched_async_rm, data, custom_rm_path=None, rm_type="math")
    assert columns == {"score": [1, 0, 1]}
