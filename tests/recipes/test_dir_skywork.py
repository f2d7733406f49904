"""DIR's recipe on pairs of Skywork's form, evaluated by style: both objectives, two steps each."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from concord.reward_models.config import load_config
from concord.reward_models.train import train
from tests.data import preferences as made
from tests.reward_models import tiny


def test_the_recipe_is_the_authors_script() -> None:
    config = load_config("dir_skywork")
    (bias,) = config.objectives["dir"].dir.values()
    assert (bias.weight, bias.hidden, bias.steps, bias.learning_rate) == (1.0, 1024, 5, 1e-4)
    engine = config.engine
    assert engine["per_device_train_batch_size"] * engine["gradient_accumulation_steps"] == 8 * 16
    assert (engine["learning_rate"], engine["max_length"], engine["num_train_epochs"]) == (2e-6, 4096, 1)


def test_two_steps_and_the_matrix_of_styles(tmp_path: Path) -> None:
    pairs = [
        {"chosen": [*p.prompt, made.says(p.chosen)], "rejected": [*p.prompt, made.says(p.rejected)]}
        for p in tiny.pairs(32)
    ]
    made.write(tmp_path / "skywork.jsonl", pairs)
    styles = [{"prompt": "a", "chosen": ["b", "b c", "b c d"], "rejected": ["n", "n o", "n o p"]}] * 3
    made.write(tmp_path / "rm_bench.json", styles)
    words = [f"model={tiny.saved(tmp_path / 'base')}", f"out={tmp_path / 'run'}", "engine.max_length=64"]
    words += [f"data.train.skywork.path={tmp_path}/skywork.jsonl", f"data.eval.rm_bench.path={tmp_path}/rm_bench.json"]
    words += ["engine.per_device_train_batch_size=8", "engine.gradient_accumulation_steps=1", "engine.max_steps=2"]
    words += ["engine.use_cpu=true", "engine.gradient_checkpointing=false", "engine.bf16=false"]
    found = train(load_config("dir_skywork", words), console=Console(quiet=True))
    assert found.keys() == {"bradley_terry", "dir"}
    for model in found.values():
        evaluation = model["rm_bench"]
        assert evaluation.accuracy.pairs == 3 * 9
        assert evaluation.accuracy.low <= evaluation.accuracy.share <= evaluation.accuracy.high
        assert evaluation.styles is not None
        shares = evaluation.styles
        assert evaluation.accuracy.share == pytest.approx((shares.easy + shares.normal + shares.hard) / 3)
