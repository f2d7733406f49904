"""Estimates of what a run costs, against numbers worked out by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from concord.engines.defaults import REWARD_MODEL
from concord.reward_models.config import load_config as load_reward_model
from concord.reward_models.cost import estimate as estimate_reward_model
from concord.run.config import load_config
from concord.run.cost import count, estimate


def test_the_papers_run() -> None:
    """1.54 B parameters in float32, with gradient and two moments; 512 rollouts of 2,048 + 1,024 tokens an update."""
    cost = estimate(load_config("tool_calling"))
    assert (cost.parameters, cost.memory, cost.tokens) == (1.54e9, 16 * 1.54e9, 512 * (2048 + 1024))


@pytest.mark.parametrize(
    ("words", "bytes_each"),
    [
        (["engine.beta=0.04"], 20),
        (["engine.model_init_kwargs={dtype: bfloat16}"], 8),
        (["peft={r: 8}"], 4),
        (["peft={r: 8}", "engine.beta=0.04"], 4),  # the reference is the model without its adapter
        (["peft={r: 8}", "engine.model_init_kwargs={dtype: bfloat16}"], 2),
    ],
)
def test_what_a_parameter_takes(words: list[str], bytes_each: float) -> None:
    assert estimate(load_config("tool_calling", words)).memory == bytes_each * 1.54e9


def test_reward_models_come_on_top_and_one_of_unknown_size_makes_the_sum_unknown(tmp_path: Path) -> None:
    assert estimate(load_config("helpful_harmless")).memory == 16 * 7.62e9 + 2 * (1.54e9 + 1.54e9)
    assert estimate(load_config("helpful_harmless", ["sizes={model: 7.62e9, useful: 1e9}"])).memory is None
    assert estimate(load_config("tool_calling", ["sizes={}"])).memory is None


def test_a_model_on_disk_is_counted_and_not_believed() -> None:
    cost = estimate(load_config("demo", ["sizes={model: 1.0e9}"]))
    assert cost.parameters == 137_216
    assert cost.tokens == 128 * 80  # its prompts have no limit and are left out


def test_a_folder_without_weights_is_of_unknown_size(tmp_path: Path) -> None:
    assert count(tmp_path) is None


def test_reward_models() -> None:
    """128 pairs of two answers; one model is trained after the other."""
    cost = estimate_reward_model(load_reward_model("dir_skywork"))
    assert (cost.parameters, cost.memory, cost.tokens) == (8.03e9, 16 * 8.03e9, 128 * 2 * 4096)


def test_what_is_not_set_is_trls_default() -> None:
    """Its RewardConfig has a default of its own for the length; the sizes of a batch are transformers'."""
    silent = load_reward_model("dir_skywork", ["engine={}"])
    pairs = REWARD_MODEL.default("per_device_train_batch_size") * REWARD_MODEL.default("gradient_accumulation_steps")
    assert estimate_reward_model(silent).tokens == pairs * 2 * REWARD_MODEL.default("max_length")
    assert estimate_reward_model(load_reward_model("dir_skywork", ["engine.max_length=null"])).tokens is None
