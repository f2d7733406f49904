"""What is wrong is said at construction where it can be, and by name."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest
from trl import GRPOConfig

from concord import Card, Chain, Method, Stage, register
from concord.core.catalogue import _ENTRIES
from concord.core.errors import BatchError, ConfigError, DuplicateName, RewardError, UnknownName
from concord.engines.trl.config import REPLACED
from concord.objectives import PolicyObjective
from concord.stages import Sum
from tests.engines import tiny

CHANGED: dict[str, Any] = {
    "loss_type": "grpo",
    "scale_rewards": "batch",
    "multi_objective_aggregation": "normalize_then_sum",
    "epsilon": 0.3,
    "epsilon_high": 0.28,
    "delta": 2.0,
    "importance_sampling_level": "sequence",
    "use_bias_correction_kl": True,
    "sapo_temperature_neg": 1.0,
    "sapo_temperature_pos": 2.0,
    "vespo_k_pos": 1.0,
    "vespo_lambda_pos": 1.0,
    "vespo_k_neg": 1.0,
    "vespo_lambda_neg": 1.0,
    "top_entropy_quantile": 0.2,
    "entropy_coef": 0.1,
    "use_adaptive_entropy": True,
    "off_policy_mask_threshold": 0.5,
}


@pytest.mark.parametrize("option", REPLACED)
def test_an_option_that_would_be_ignored_is_refused(tmp_path: Path, option: str) -> None:
    with pytest.raises(ConfigError, match=f"{option}=.* would have no effect: "):
        tiny.config(tmp_path, **{option: CHANGED[option]})


def test_scale_rewards_as_a_bool(tmp_path: Path) -> None:
    assert tiny.config(tmp_path, scale_rewards=True).scale_rewards == "group"
    with pytest.raises(ConfigError, match="scale_rewards='none'"):
        tiny.config(tmp_path, scale_rewards=False)


def test_trls_own_config(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="args must be a ConcordConfig, got GRPOConfig"):
        tiny.ConcordTrainer(tiny.model(), tiny.early, GRPOConfig(str(tmp_path), bf16=False), tiny.prompts())


def test_unknown_method(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="no method 'gdop'; did you mean 'gdpo'"):
        tiny.config(tmp_path, method="gdop")


def test_misspelt_parameter(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="method 'gd2po' has no parameter 'taus'; did you mean 'tau'"):
        tiny.config(tmp_path, method_args={"taus": 0.5})


def test_parameters_that_are_no_mapping(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"method_args must be a mapping, got \['tau'\]"):
        tiny.config(tmp_path, method_args=["tau"])


def test_parameters_from_the_command_line(tmp_path: Path) -> None:
    assert tiny.config(tmp_path, method_args='{"tau": 0.5}').method_args == {"tau": 0.5}


def test_parameter_out_of_range(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="tau must be in"):
        tiny.config(tmp_path, method_args={"tau": 2})


def test_weights_twice(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="weights are given twice"):
        tiny.config(tmp_path, method_args={"weights": {"early": 1.0}}, reward_weights=[1.0, 1.0, 1.0])


def test_weight_of_an_unknown_reward(tmp_path: Path) -> None:
    with pytest.raises(BatchError, match=r"a weight names reward 'earl'; .* did you mean 'early'"):
        tiny.trainer(tmp_path, method_args={"weights": {"earl": 1.0}})


def test_two_rewards_of_one_name(tmp_path: Path) -> None:
    with pytest.raises(DuplicateName, match="reward names must differ; used more than once: 'early'"):
        tiny.trainer(tmp_path, rewards=[tiny.early, functools.partial(tiny.early)])


def test_groups_of_one(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least 2 generations per prompt"):
        tiny.config(tmp_path, num_generations=1)


def test_evaluation_that_splits_a_group(tmp_path: Path) -> None:
    options = {"eval_dataset": tiny.prompts(4)}
    trainer = tiny.trainer(tmp_path, per_device_eval_batch_size=6, options=options)
    with pytest.raises(BatchError, match="6 rollouts do not make whole groups of 4: per_device_eval_batch_size"):
        trainer.evaluate()


def test_data_without_prompts(tmp_path: Path) -> None:
    data = tiny.prompts().rename_column("prompt", "prompts")
    with pytest.raises(
        ConfigError, match=r"columns \['prompts', 'answer'\], none named 'prompt'; did you mean 'prompts'"
    ):
        tiny.trainer(tmp_path, data=data)


def test_too_few_prompts_for_a_generation_batch(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="one generation batch is 4 prompts of 4 rollouts, the training data has 3"):
        tiny.trainer(tmp_path, data=tiny.prompts(3))


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ([1.0], "reward 'odd': 16 of 16 scores invalid; the first: returned 1 score for 16 completions"),
        (3.0, "reward 'odd': 16 of 16 scores invalid; the first: returned 3.0 .float.; return a list"),
        (
            ["good"] * 16,
            "reward 'odd': 16 of 16 scores invalid; the first: returned 'good' .str.; a score is a number, or None",
        ),
    ],
)
def test_a_reward_that_answers_with_something_else(tmp_path: Path, answer: Any, said: str) -> None:
    def odd(completions: list[str], **_: Any) -> Any:
        return answer

    with pytest.raises(RewardError, match=said):
        tiny.trainer(tmp_path, rewards=[odd]).train()


def test_an_asynchronous_reward_is_checked_too(tmp_path: Path) -> None:
    async def slow(completions: list[str], **_: Any) -> list[float]:
        return [0.0]

    with pytest.raises(
        RewardError, match="reward 'slow': 16 of 16 scores invalid; the first: returned 1 score for 16 completions"
    ):
        tiny.trainer(tmp_path, rewards=[slow]).train()


def test_a_column_that_trl_does_not_give(tmp_path: Path) -> None:
    @dataclass(frozen=True)
    class NeedsHidden(Stage):
        needs: ClassVar[frozenset[str]] = frozenset({"hidden"})

    @register(Card("Reads hidden states", "", "A = r"))
    def hidden_reader() -> Method:
        return Method(Chain((Sum(), NeedsHidden())), PolicyObjective())

    try:
        with pytest.raises(ConfigError, match=r"method 'hidden_reader' needs columns \['hidden'\]; there are"):
            tiny.trainer(tmp_path, method="hidden_reader")
    finally:
        del _ENTRIES["hidden_reader"]


def test_a_penalty_of_the_methods_own(tmp_path: Path) -> None:
    from concord.objectives import Kl

    @register(Card("Brings a penalty", "", "A = r"))
    def penalised() -> Method:
        return Method(Chain((Sum(),)), PolicyObjective(penalties=(Kl(0.1),)))

    try:
        with pytest.raises(
            ConfigError, match="method 'penalised' brings a KL penalty of its own; give its coefficient"
        ):
            tiny.config(tmp_path, method="penalised")
    finally:
        del _ENTRIES["penalised"]
