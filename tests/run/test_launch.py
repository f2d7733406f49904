"""A run's configuration in verl's words, and back. That verl takes them is tested where verl is."""

from __future__ import annotations

import json
import math
import shlex
import stat
from pathlib import Path

import pytest

from concord import create
from concord.core import safe_yaml
from concord.core.errors import ConfigError, RunFolderError
from concord.engines import settings
from concord.engines.defaults import GRPO
from concord.engines.verl.translate import READ, translate
from concord.run.config import load_config
from concord.run.launch import plan
from concord.run.launch.plan import RUN, SCRIPT, read
from concord.run.launch.score import compute_score
from concord.run.paths import shipped_recipes


def options(launch) -> dict:
    """The script's words as verl's shell hands them over, values read."""
    script = launch.files[SCRIPT].partition("verl.trainer.main_ppo ")[2]
    pairs = dict(word.lstrip("+").split("=", 1) for word in shlex.split(script.replace("\\\n", " ")))
    return {key: safe_yaml.read(value) for key, value in pairs.items()}


METHODS = {name: safe_yaml.read(file.read_text())["method"] for name, file in shipped_recipes().items()}
LEARNING = sorted(name for name, method in METHODS.items() if create(method["name"]).learner is not None)
"""Recipes whose method verl cannot run: something trains beside the policy."""


@pytest.mark.parametrize("recipe", sorted(METHODS.keys() - LEARNING))
def test_a_recipe_that_ships_comes_back_out_of_its_launch(recipe: str, tmp_path: Path) -> None:
    config = load_config(recipe)
    launch = plan(config, tmp_path, nodes=2, gpus=8)
    launch.write()
    assert load_config(tmp_path / RUN) == config
    found = options(launch)
    weights = {k.rpartition(".")[2]: v for k, v in found.items() if k.startswith("algorithm.concord.args.weights.")}
    args = {k.rpartition(".")[2]: v for k, v in found.items() if k.startswith("algorithm.concord.args.")}
    args = {name: value for name, value in args.items() if name not in weights} | (
        {"weights": weights} if weights else {}
    )
    section = {"method": found["algorithm.concord.method"], "args": args, "rewards": found["algorithm.concord.rewards"]}
    read = settings.read(section, "algorithm.concord")
    assert (read.method, read.rewards) == (config.method.name, tuple(config.rewards))
    assert {name: value for name, value in args.items() if name != "weights"} == config.method.parameters
    assert weights == {name: reward.weight for name, reward in config.rewards.items() if reward.weight != 1}
    engine, size = GRPO.read_all(config.engine, READ), config.engine["num_generations"]
    update = engine["per_device_train_batch_size"] * engine["gradient_accumulation_steps"]
    assert found["actor_rollout_ref.rollout.n"] == size
    assert found["data.train_batch_size"] * size == (engine["generation_batch_size"] or update)
    assert found["actor_rollout_ref.actor.ppo_mini_batch_size"] * size == update
    updates = found["data.train_batch_size"] // found["actor_rollout_ref.actor.ppo_mini_batch_size"]
    assert found["trainer.total_training_steps"] * updates == engine["max_steps"]
    assert found["actor_rollout_ref.actor.optim.lr"] == engine["learning_rate"]
    assert found["data.max_response_length"] == engine["max_completion_length"]
    assert (found["trainer.nnodes"], found["trainer.n_gpus_per_node"]) == (2, 8)


@pytest.mark.parametrize("recipe", LEARNING)
def test_a_recipe_whose_method_verl_cannot_run_is_refused_with_the_reason(recipe: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="a learner"):
        plan(load_config(recipe), tmp_path, nodes=1, gpus=8)


def test_the_engines_own_options_are_handed_on_as_they_are_and_stand_last(tmp_path: Path) -> None:
    launch = plan(load_config("demo"), tmp_path, nodes=1, gpus=8, options=["+a.b={c: 'd e'}", "data.seed=5"])
    assert launch.words[-2:] == ("+a.b={c: 'd e'}", "data.seed=5")
    assert options(launch)["data.seed"] == 5
    with pytest.raises(ConfigError, match="write key=value"):
        plan(load_config("demo"), tmp_path, nodes=1, gpus=8, options=["--help"])


def test_what_could_not_be_carried_over_is_said(tmp_path: Path) -> None:
    config = load_config(
        "demo",
        [
            "engine.lr_scheduler_type=linear",
            "engine.dataloader_num_workers=2",
            "refill_rounds=2",
            "rewards.format.weight={from: 0, to: 1, steps: 10}",
            "rewards.format.max_failed=0.5",
        ],
    )
    left = "\n".join(plan(config, tmp_path, nodes=1, gpus=8).left)
    for said in ("lr_scheduler_type", "dataloader_num_workers=2", "filter_groups", "schedule", "max_failed", "use_cpu"):
        assert said in left


@pytest.mark.parametrize(
    ("engine", "devices", "message"),
    [
        ({"per_device_train_batch_size": 6, "num_generations": 4}, 1, "no whole prompts"),
        ({"generation_batch_size": 24, "per_device_train_batch_size": 16}, 1, "no whole updates"),
        ({"per_device_train_batch_size": 8}, 3, "cannot be shared by 3 devices"),
    ],
)
def test_sizes_that_do_not_fit_are_named(engine: dict, devices: int, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        translate(engine, None, devices)


def test_several_updates_a_generation_count_steps_as_verl_does() -> None:
    engine = {"per_device_train_batch_size": 8, "steps_per_generation": 4, "num_iterations": 2, "max_steps": 41}
    found = translate(engine | {"save_steps": 16, "beta": 0.04}, {"r": 16, "lora_dropout": 0.1}, 1)
    assert found.options["trainer.total_training_steps"] == math.ceil(41 / 8)
    assert found.options["trainer.save_freq"] == 2
    assert found.options["actor_rollout_ref.actor.kl_loss_coef"] == 0.04
    assert found.options["actor_rollout_ref.model.lora_rank"] == 16
    assert any("lora_dropout" in line for line in found.left)


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(RunFolderError, match=r"mine\.txt"):
        plan(load_config("demo"), tmp_path, nodes=1, gpus=8).write()


def test_the_rewards_are_asked_in_verls_form_for_one_rollout(tmp_path: Path) -> None:
    plan(load_config("demo"), tmp_path, nodes=1, gpus=8).write()
    answer = '<think>use hotel</think>\n<tool_call>\n{"name": "hotel", "parameters": {"nights": 3}}\n</tool_call>'
    asked = {"prompt": [{"role": "user", "content": "x"}], "columns": {}, "index": 0}
    scores = compute_score("tool_task", answer, answer, asked, run=str(tmp_path / RUN))
    assert scores == {"score": 5.0, "correctness": 3.0, "format": 1.0, "conciseness": 1.0, "exact": 1.0}


def test_the_rows_are_in_verls_columns(tmp_path: Path) -> None:
    from datasets import Dataset

    from concord.run.launch.rows import write

    plan(load_config("demo", ["data.size=4", "data.eval.size=2"]), tmp_path, nodes=1, gpus=8).write()
    train, held_out = (Dataset.from_parquet(str(path)) for path in write(tmp_path))
    assert (len(train), len(held_out)) == (4, 2)
    row = train[0]
    assert row["prompt"][0]["role"] == "user"
    assert row["extra_info"]["prompt"] == row["prompt"]
    scores = compute_score("", row["reward_model"]["ground_truth"], **_without(row), run=str(tmp_path / RUN))
    assert scores["exact"] == 1.0


def _without(row: dict) -> dict:
    return {"ground_truth": row["reward_model"]["ground_truth"], "extra_info": row["extra_info"]}


def test_the_command_line_writes_the_files_and_starts_nothing(tmp_path: Path, capsys) -> None:
    from concord.cli.launch import command

    command("demo", engine="verl", nodes=1, gpus=8, option=["a=b"], to=tmp_path / "there", dry_run=True, json=True)
    said = json.loads(capsys.readouterr().out)
    assert said["command"][-1] == "a=b"
    assert any("use_cpu" in line for line in said["not_carried"])
    assert sorted(path.name for path in (tmp_path / "there").iterdir()) == [SCRIPT, RUN]


JUDGED = """\
model: a/model
method: gd2po
data: {path: rows.jsonl}
rewards:
  judge: {url: "http://host/x", options: {headers: {Authorization: Bearer TOKEN}}}
engine: {num_generations: 4, per_device_train_batch_size: 8, max_steps: 1}
out: runs/cost$$
"""


def test_a_secret_is_launched_by_its_name_only(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text(JUDGED.replace("TOKEN", "plain-808"))
    with pytest.raises(ConfigError, match=r"a secret stands in this configuration, .* write env:NAME"):
        plan(load_config(tmp_path / "run.yaml"), tmp_path / "to", nodes=1, gpus=1)
    (tmp_path / "run.yaml").write_text(JUDGED.replace("TOKEN", "env:A_TOKEN"))
    launch = plan(load_config(tmp_path / "run.yaml"), tmp_path / "to", nodes=1, gpus=1)
    launch.write()
    for name in (RUN, SCRIPT):
        assert stat.S_IMODE((tmp_path / "to" / name).stat().st_mode) == 0o600
    there = read(tmp_path / "to")
    assert there["rewards"]["judge"]["options"] == {"headers": {"Authorization": "Bearer env:A_TOKEN"}}
    assert there["out"] == f"{tmp_path}/runs/cost$"
