"""What TRL, transformers and PEFT refuse is said before anything is loaded."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from trl import GRPOConfig, RewardConfig

from concord.core.errors import ConfigError
from concord.engines.trl import ConcordConfig
from concord.run.config import load_config
from concord.run.receivers import adapter, trainer_arguments
from concord.run.train import train

SMALL = {"per_device_train_batch_size": 8, "num_generations": 4, "use_cpu": True, "report_to": "none", "bf16": False}


def made(tmp_path: Path, **options: Any) -> Any:
    return trainer_arguments(GRPOConfig, {**SMALL, **options}, output_dir=str(tmp_path))


REFUSED = {
    "groups that are not whole": ({"num_generations": 3}, r"engine: .*must be divisible by num_generations \(3\)"),
    "one rollout a group": ({"num_generations": 1}, r"engine: GRPO requires at least 2 generations"),
    "both sizes": ({"generation_batch_size": 8, "steps_per_generation": 1}, r"engine: .*can not be both"),
    "batch size": ({"per_device_train_batch_size": 0}, r"engine\.per_device_train_batch_size: .* from 1 up, got 0"),
    "accumulation": ({"gradient_accumulation_steps": 0}, r"engine\.gradient_accumulation_steps: .* got 0"),
    "completion length": ({"max_completion_length": -1}, r"engine\.max_completion_length: .* got -1"),
    "saving": ({"save_steps": 0}, r"engine\.save_steps: must be a number above 0, got 0"),
    "logging": ({"logging_steps": -1}, r"engine\.logging_steps: must be a number above 0, got -1"),
    "epochs": ({"num_train_epochs": 0}, r"engine\.num_train_epochs: must be a number above 0, got 0"),
    "learning rate": ({"learning_rate": -1e-6}, r"engine: Invalid learning rate: -1e-06"),
    "infinite learning rate": ({"learning_rate": float("inf")}, r"engine: learning_rate must be finite, got inf"),
    "beta": ({"adam_beta1": 1.5}, r"engine: Invalid beta parameter at index 0: 1\.5"),
    "weight decay": ({"weight_decay": -0.1}, r"engine: Invalid weight_decay value: -0\.1"),
    "schedule without its number": ({"lr_scheduler_type": "cosine_with_min_lr"}, r"engine: .*min_lr"),
    "schedule's keyword": ({"lr_scheduler_kwargs": {"cycles": 2}}, r"engine: .*cycles"),
    "warmup": ({"warmup_steps": -1}, r"engine: Got warmup_steps = -1"),
    "temperature": ({"temperature": 0}, r"engine: `temperature` .*strictly positive float"),
    "top_p": ({"top_p": 1.5}, r"engine: `top_p` has to be a float"),
    "top_k": ({"top_k": -3}, r"engine: `top_k` has to be a strictly positive integer"),
    "min_p": ({"min_p": 2.0}, r"engine: `min_p`"),
    "generation": ({"generation_kwargs": {"num_beam": 2}}, r"engine\.generation_kwargs\.num_beam: .* mean 'num_beams'"),
    "sampling in generation": ({"generation_kwargs": {"temperature": -1.0}}, r"engine: `temperature`"),
    "nested switch": (
        {"accelerator_config": {"split_batches": "no"}},
        r"engine\.accelerator_config\.split_batches: must be true or false, got 'no'",
    ),
    "nested switch of torch": (
        {"activation_checkpointing": True, "activation_checkpointing_kwargs": {"use_reentrant": "off"}},
        r"engine\.activation_checkpointing_kwargs\.use_reentrant: must be true or false or null, got 'off'",
    ),
    "loader": ({"dataloader_num_workers": -1}, r"engine: num_workers option should be non-negative"),
    "logger": ({"report_to": "tensorbord"}, r"engine\.report_to: .* got 'tensorbord'; did you mean 'tensorboard'"),
    "one of several loggers": ({"report_to": ["tensorboard", "wanb"]}, r"engine\.report_to: .*mean 'wandb'"),
    "a logger that is not there": ({"report_to": ["neptune"]}, r"engine\.report_to: neptune is not installed here"),
    "both precisions": ({"bf16": True, "fp16": True}, r"engine: At most one of fp16 and bf16"),
    "JSON": ({"model_init_kwargs": "{a"}, r"engine: "),
    "a file that is not there": ({"accelerator_config": "none.json"}, r"engine: .*none\.json"),
}


@pytest.mark.parametrize(("options", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_refused(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        made(tmp_path / "run", **options)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"temperature": 2, "top_p": 1, "top_k": 5, "min_p": 0.1, "repetition_penalty": 1},
        {"lr_scheduler_type": "cosine_with_min_lr", "lr_scheduler_kwargs": {"min_lr": 0.1}, "warmup_steps": 0.1},
        {"save_strategy": "no", "save_steps": 0},
        {"max_steps": 5, "num_train_epochs": 0},
        {"optim": "sgd", "optim_args": "momentum=0.9"},
        {"report_to": "tensorboard"},
        {"generation_kwargs": {"num_beams": 2}},
        {"accelerator_config": {"split_batches": True}},
    ],
)
def test_what_is_taken(tmp_path: Path, options: dict[str, Any]) -> None:
    args = made(tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()
    assert isinstance(args.temperature, float)


def test_a_method_that_decides_an_option_itself_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^loss_type='bnpo' would have no effect"):
        trainer_arguments(ConcordConfig, {**SMALL, "loss_type": "bnpo"}, output_dir=str(tmp_path), method="gd2po")


def test_options_of_a_reward_model(tmp_path: Path) -> None:
    small = {"use_cpu": True, "report_to": "none", "bf16": False}
    with pytest.raises(ConfigError, match=r"engine: Invalid learning rate"):
        trainer_arguments(RewardConfig, {**small, "learning_rate": -1.0}, output_dir=str(tmp_path))
    with pytest.raises(ConfigError, match=r"engine\.max_length: must be a whole number from 1 up, got 0"):
        trainer_arguments(RewardConfig, {**small, "max_length": 0}, output_dir=str(tmp_path))


def test_a_token_of_the_hub_reaches_no_arguments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "another")
    monkeypatch.setenv("MY_HUB_TOKEN", "hub-6677")
    args = made(tmp_path, hub_token="env:MY_HUB_TOKEN")
    assert os.environ["HF_TOKEN"] == "hub-6677"
    assert args.hub_token is None
    monkeypatch.delenv("MY_HUB_TOKEN")
    with pytest.raises(ConfigError, match=r"engine\.hub_token: env:MY_HUB_TOKEN names a variable"):
        made(tmp_path, hub_token="env:MY_HUB_TOKEN")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"r": 0}, r"peft: `r` should be a positive integer"),
        ({"lora_dropout": 2.0}, r"peft: dropout probability"),
        ({"r": 3, "init_lora_weights": "orthogonal"}, r"peft: Orthogonal initialization"),
        ({"layers_pattern": "h", "target_modules": ["q"]}, r"peft: "),
    ],
)
def test_what_peft_refuses(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        adapter(options)


def test_what_peft_takes() -> None:
    assert adapter(None) is None
    made = adapter({"r": 4, "target_modules": ["q_proj"], "use_dora": True}, task_type="SEQ_CLS")
    assert (made.r, made.target_modules, made.task_type) == (4, {"q_proj"}, "SEQ_CLS")
    assert adapter({"task_type": "CAUSAL_LM"}, task_type="SEQ_CLS").task_type == "CAUSAL_LM"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("engine.num_generations=3", "must be divisible by num_generations"),
        ("engine.learning_rate=-1", "Invalid learning rate"),
        ("peft.r=0", "`r` should be a positive integer"),
        ("peft.target_modules=[no_such_layer]", "the trainer refuses this configuration: .*no_such_layer"),
    ],
)
def test_a_run_that_is_refused_leaves_no_folder(run_file: Path, override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        train(load_config(run_file, [override]), console=Console(quiet=True))
    assert not (run_file.parent / "runs").exists()
