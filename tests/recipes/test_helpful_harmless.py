"""Helpful against harmless, from pairs of preferences to an evaluated policy (real prompts where they are at hand).

The pair of reward models is trained by the recipe that ships for it, on a tiny model.
"""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
import torch
from rich.console import Console
from transformers import AutoModelForCausalLM, AutoTokenizer, Qwen3Config, Qwen3ForSequenceClassification

from concord.reward_models.config import load_config as load_reward_model
from concord.reward_models.forms import read_pairs
from concord.reward_models.train import train as train_reward_model
from concord.run.config import load_config
from concord.run.evaluations import evaluate_sets, load_policy
from concord.run.train import train
from tests.data import preferences as made
from tests.recipes.test_tool_calling import SMALL, talking_model


def transcripts() -> made.Rows:
    """Short pairs in HH's form."""
    real = made.REAL / "hh_harmless_test_1000.jsonl"
    rows = [json.loads(line) for line in real.read_text().splitlines()] if real.is_file() else made.hh(60)
    return [row for row in rows if max(map(len, row.values())) < 400][:48]


def classifier(folder: Path, policy: Path) -> Path:
    """A tiny sequence classifier that reads as the policy does."""
    tokenizer = AutoTokenizer.from_pretrained(policy)
    tokenizer.model_max_length = 2048
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    shape = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "head_dim": 8}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": 2048, "num_labels": 1}
    Qwen3ForSequenceClassification(
        Qwen3Config(vocab_size=len(tokenizer), pad_token_id=tokenizer.pad_token_id, **shape, **heads)
    ).save_pretrained(folder)
    return folder


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the recipes' paths start: pairs of preferences, prompts, and two models."""
    monkeypatch.chdir(tmp_path)
    rows = transcripts()
    for side in ("helpful-base", "harmless-base"):
        for split, part in {"train": rows[:32], "test": rows[32:]}.items():
            path = tmp_path / "hh-rlhf" / side / f"{split}.jsonl"
            path.parent.mkdir(parents=True, exist_ok=True)
            made.write(path, part if side == "harmless-base" else part[::-1])
    prompts = [pair.prompt for pair in read_pairs(rows).pairs]
    for name, part in {
        "alpaca_prompt_only/train": prompts[:8],
        "alpaca_prompt_only/test": prompts[8:10],
        "anthropic_hh_rlhf/test": prompts[10:13],
        "pku-saferlhf/test": prompts[13:14],
    }.items():
        path = tmp_path / f"{name}.parquet"
        path.parent.mkdir(exist_ok=True)
        pd.DataFrame({"prompt": part, "data_source": "made"}).to_parquet(path)
    policy = talking_model(tmp_path / "policy", [text for row in rows for text in row.values()])
    classifier(tmp_path / "base", policy)
    return tmp_path


def test_from_pairs_of_preferences_to_an_evaluated_policy(folder: Path) -> None:
    quick = ["model=./base", "engine.per_device_train_batch_size=8", "engine.gradient_accumulation_steps=1"]
    quick += ["engine.max_steps=2", "engine.use_cpu=true", "engine.gradient_checkpointing=false", "engine.bf16=false"]
    helpful = ["data.train.hh.path=hh-rlhf/helpful-base/train.jsonl", "out=runs/useful"]
    helpful += ["data.eval.hh.path=hh-rlhf/helpful-base/test.jsonl"]
    for words in ([], helpful):  # as the recipe's file says
        found = train_reward_model(load_reward_model("hh", [*quick, *words]), console=Console(quiet=True))
        assert found["bradley_terry"]["hh"].accuracy.pairs == len(transcripts()) - 32

    words = [f"engine.{key}={value}" for key, value in SMALL.items()]
    config = load_config("helpful_harmless", [*words, "model=./policy", "data.max_prompt_tokens=null"])
    done = train(config, console=Console(quiet=True))
    rollouts = pd.concat(pd.read_parquet(path) for path in sorted((done.folder / "rollouts").glob("*.parquet")))
    assert len(rollouts) == 8
    for name, reward in zip(("useful", "harmless"), config.named_rewards(), strict=True):
        assert rollouts[f"reward/{name}"].nunique() > 1
        assert reward.name == name
    before = dict(AutoModelForCausalLM.from_pretrained(folder / "policy").named_parameters())
    after = dict(AutoModelForCausalLM.from_pretrained(done.folder / "model").named_parameters())
    assert any(not torch.equal(after[name], before[name]) for name in before)

    found = evaluate_sets(config, config.evaluations["prompts"], load_policy(str(done.folder / "model"), on_cpu=True))
    assert {label: part.rows for label, part in found.items()} == {"alpaca": 2, "hh": 3, "pku": 1, "overall": 6}
    for name in ("useful", "harmless"):
        total = sum(found[label].rewards[name] * found[label].rows for label in ("alpaca", "hh", "pku"))
        assert found["overall"].rewards[name] == pytest.approx(total / 6)
    assert load_config("helpful_harmless").evaluations["prompts"].rewards is None  # those of the run
