"""NeMo-RL's environments as rewards."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
import torch

from concord.core.errors import ConfigError
from concord.rewards.forms.detect import detect
from concord.rewards.forms.environment import Environment
from concord.rewards.forms.form import Unreadable
from tests.rewards.forms.asking import CHATS, ask, with_columns


class EnvironmentReturn(NamedTuple):
    observations: list[Any]
    metadata: list[Any]
    next_stop_strings: list[Any]
    rewards: Any
    terminateds: Any
    answers: Any = None


class Math:
    def __init__(self, cfg: dict[str, Any]) -> None:
        self.scale = cfg.get("scale", 1.0)

    def step(self, message_log_batch: list[Any], metadata: list[Any]) -> EnvironmentReturn:
        said = ["".join(m["content"] for m in log if m["role"] == "assistant") for log in message_log_batch]
        scores = [self.scale * (text == facts["ground_truth"]) for text, facts in zip(said, metadata, strict=True)]
        odd = [object()] * len(said)  # what cannot be sent from a worker
        return EnvironmentReturn(odd, metadata, odd, torch.tensor(scores), odd)


def several(message_log_batch: list[Any], metadata: list[Any]) -> Any:
    return SimpleNamespace(rewards=torch.tensor([[1.0, 0.5]] * len(metadata)))


def test_a_class_an_object_and_a_function_are_steps() -> None:
    assert str(detect(Math)) == "nemo-env (step() has parameters message_log_batch, metadata)"
    assert detect(several).form.name == "nemo-env"
    assert ask(Math) == {"score": [1.0, 0.0, 1.0]}
    assert ask(Math, scale=2.0) == {"score": [2.0, 0.0, 2.0]}
    assert ask(Math, cfg={"scale": 3.0}) == {"score": [3.0, 0.0, 3.0]}
    assert ask(Math({})) == {"score": [1.0, 0.0, 1.0]}


def test_the_class_beneath_rays_is_taken() -> None:
    actor = SimpleNamespace(__ray_metadata__=SimpleNamespace(modified_class=Math))
    assert ask(actor) == {"score": [1.0, 0.0, 1.0]}


def test_several_rewards_are_columns_and_their_sum_the_main_one() -> None:
    assert ask(several, CHATS) == {"score": [1.5], "reward1": [1.0], "reward2": [0.5]}


def test_metadata_come_from_the_columns() -> None:
    def step(message_log_batch: list[Any], metadata: list[Any]) -> Any:
        return None, None, None, [[m["ground_truth"] + m["unit"]] for m in metadata]

    batch = with_columns(CHATS, solution=[1.0], metadata=[{"unit": 0.25}])
    assert ask(step, batch) == {"score": [[1.25]]}


def test_what_a_step_may_not_return() -> None:
    with pytest.raises(TypeError, match="returns observations, metadata, stops, rewards"):
        ask(lambda message_log_batch, metadata: 1.0)
    with pytest.raises(Unreadable, match="not as many for each"):
        Environment().read([[1.0, 2.0], [1.0]], 2)
    with pytest.raises(ConfigError, match="does not take what NeMo-RL passes"):
        Environment().bind(lambda message_log_batch: 0, {})
