"""What docs/recipes.md says is so: its recipes ship, its YAML fits, its figures are the recipes'."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from concord.core import safe_yaml
from concord.reward_models.config import shipped_recipes as shipped_reward_models
from concord.run.config import EvaluationConfig, RunConfig, load_config
from concord.run.paths import shipped_recipes

PAGE = (Path(__file__).parents[2] / "docs" / "recipes.md").read_text()
BLOCKS: list[dict[str, Any]] = [safe_yaml.read(text) for text in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)]


def test_every_recipe_is_on_it() -> None:
    for name in shipped_recipes() | shipped_reward_models():
        assert f"`{name}`" in PAGE


def test_its_yaml_fits() -> None:
    evaluations, engine = BLOCKS
    for given in evaluations["evaluations"].values():
        EvaluationConfig.model_validate(given)
    run = load_config("demo").model_dump()
    assert RunConfig.model_validate(run | engine).engine["vllm_mode"] == "colocate"
    for option in re.findall(r"`(vllm_server_\w+)`", PAGE):
        RunConfig.model_validate(run | {"engine": {option: None}})


@pytest.mark.parametrize("words", re.findall(r"^\| (?!run)\w[\w-]* \| (`.*?`(?:, `.*?`)?) \|", PAGE, re.MULTILINE))
def test_its_methods_can_replace_a_recipes_own(words: str) -> None:
    method, *others = re.findall(r"`(.*?)`", words)
    load_config("gsm8k", [f"method={method.strip(chr(34))}", *others])


def test_its_figures_are_the_recipes() -> None:
    rows = re.findall(r"^\| ([a-z, ]+) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \|$", PAGE, re.MULTILINE)
    found = {label: tuple(map(float, numbers)) for label, *numbers in rows}

    def published(name: str, reward: str) -> tuple[float, ...]:
        given = load_config(name).evaluations["api_bank"].published
        assert given is not None
        return tuple(given.figures[method][reward]["overall"] for method in ("grpo", "gdpo", "gd2po_hard", "gd2po"))

    assert found == {
        "correctness, length": published("tool_calling_two_rewards", "correct"),
        "correctness, format, length": published("tool_calling", "correct"),
        "format of the latter": published("tool_calling", "format"),
    }


@pytest.mark.parametrize("name", ["tool_calling", "tool_calling_two_rewards", "gsm8k", "helpful_harmless"])
def test_a_recipe_divides_by_eight_devices(name: str) -> None:
    """As its comment says: an update is the same on one device and on eight."""
    engine = load_config(name).engine
    assert engine["gradient_accumulation_steps"] % 8 == 0
    update = engine["per_device_train_batch_size"] * engine["gradient_accumulation_steps"]
    assert engine["generation_batch_size"] % update == 0
