"""CLIPO's recipe on GSM8K's rows (the real file where it is at hand): read, score, learn, update."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
import torch
from rich.console import Console
from transformers import AutoModelForCausalLM

pytest.importorskip("math_verify")

from concord.rewards.builtin import math_answer
from concord.run.config import load_config
from concord.run.train import train
from tests.data.gsm8k import gsm8k_file, write_sample
from tests.recipes.test_tool_calling import talking_model


def test_the_recipe_is_the_papers() -> None:
    config = load_config("math_clipo")
    method = config.method.parameters
    assert (config.method.name, method["scale"], method["temperature"], method["dim"]) == ("clipo", 0.2, 0.05, 512)
    assert config.engine["num_generations"] == 16
    assert config.engine["learning_rate"] == 1e-6
    rollouts = config.engine["per_device_train_batch_size"] * config.engine["gradient_accumulation_steps"]
    assert (rollouts, config.engine["generation_batch_size"]) == (256 * 16, 512 * 16)
    assert (config.data.prompt, config.data.answer) == ("question", "answer")
    assert config.data.eval is not None
    assert (config.data.eval.path, config.data.eval.name) == ("openai/gsm8k", "main")


@pytest.mark.parametrize("find", [gsm8k_file, lambda folder: write_sample(folder / "rows.jsonl")])
def test_two_steps(tmp_path: Path, find) -> None:  # type: ignore[no-untyped-def]
    file = find(tmp_path)
    rows = [json.loads(line) for line in file.read_text().splitlines()][:16]
    model = talking_model(tmp_path / "model", [text for row in rows for text in row.values()])
    # An untrained model is right by no chance; a reward that some rollouts have gives head and policy something to do.
    (tmp_path / "odd.py").write_text("def odd(completions, **_):\n    return [len(text) % 2 for text in completions]")
    words = [f"model={model}", f"data.path={file}", "data.name=null", "data.eval=null", "data.size=16"]
    words += [f"rewards.odd.path={tmp_path / 'odd.py'}:odd", "rewards.correct.workers=1"]
    words += ["method.correct=odd", "method.threshold=0.5", "method.warmup=1", f"out={tmp_path / 'run'}"]
    sizes = {
        "generation_batch_size": 32,  # two prompts with 16 rollouts each
        "per_device_train_batch_size": 32,
        "gradient_accumulation_steps": 1,
        "max_completion_length": 12,
        "max_steps": 2,
        "use_cpu": "true",
        "beta": 0,
        "learning_rate": 0.01,
        "weight_decay": 0,  # so that what moves a parameter is the gradient
    }
    done = train(
        load_config("math_clipo", [*words, *(f"engine.{key}={value}" for key, value in sizes.items())]),
        console=Console(quiet=True),
    )
    steps = [pd.read_parquet(path) for path in sorted((done.folder / "rollouts").glob("*.parquet"))]
    assert len(steps) == 2
    answers = {row["question"]: row["answer"] for row in rows}
    for rollouts in steps:
        assert rollouts.groupby("group")["prompt"].nunique().tolist() == [1, 1]
        truths = [answers[prompt] for prompt in rollouts["prompt"]]
        assert rollouts["reward/correct"].tolist() == math_answer(list(rollouts["completion"]), truths)
        anchors = rollouts["column/contrastive_loss"].notna()
        assert (rollouts["reward/odd"][anchors] == 1).all()
        assert rollouts["learner/loss"][0] == pytest.approx(rollouts["column/contrastive_loss"].mean(), rel=1e-5)
        assert -0.5 <= rollouts["learner/bonus"][0] < 0
    before = dict(AutoModelForCausalLM.from_pretrained(model).named_parameters())
    after = dict(AutoModelForCausalLM.from_pretrained(done.folder / "model").named_parameters())
    assert any(not torch.equal(after[name], before[name]) for name in before)
