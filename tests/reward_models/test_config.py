"""The YAML of a run: checked whole before anything is loaded, and written back as it was read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from concord.core import safe_yaml
from concord.core.errors import ConfigError
from concord.reward_models.config import RewardModelConfig, load_config, shipped_recipes
from concord.reward_models.objective import CorrelationTerm, InformationTerm, Objective

RUN: dict[str, Any] = {
    "model": "some/model",
    "data": {"train": {"mine": {"path": "pairs.jsonl"}}, "eval": {"other": {"path": "other.json", "form": "llmbar"}}},
    "objectives": {
        "plain": None,
        "level": {"residual_of": "plain"},
        "linear": {"correlation": 0.5, "over": "micro_batch"},
        "dir": {"dir": {"length": {}, "mine": {"path": "mine.py:label", "weight": 0.5, "classes": 3, "steps": 1}}},
    },
    "out": "runs/a",
}


def write(folder: Path, **changes: Any) -> Path:
    path = folder / "run.yaml"
    path.write_text(safe_yaml.write(RUN | changes))
    return path


def test_it_says_the_objectives(tmp_path: Path) -> None:
    config = load_config(write(tmp_path))
    built = {name: objective.build() for name, objective in config.objectives.items()}
    assert built["plain"] == built["level"] == Objective()
    assert built["linear"] == Objective((CorrelationTerm(0.5),), "micro_batch")
    assert built["dir"] == Objective(
        (InformationTerm("length"), InformationTerm("mine", weight=0.5, classes=3, steps=1))
    )
    assert built["dir"].biases == ("length", "mine")


def test_defaults_are_the_authors(tmp_path: Path) -> None:
    (term,) = load_config(write(tmp_path, objectives={"dir": {"dir": {"length": {}}}})).objectives["dir"].build().terms
    assert isinstance(term, InformationTerm)
    assert (term.weight, term.hidden, term.steps, term.learning_rate) == (1.0, 1024, 5, 1e-4)


def test_paths_start_at_the_file_and_overrides_where_one_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    file = write(tmp_path, chat_template="chat.jinja")
    config = load_config(file, ["data.eval.other.path=new.json", "objectives.dir.dir.length.path=b.py:f"])
    assert config.data.train["mine"].path == str(tmp_path / "pairs.jsonl")
    assert config.data.eval["other"].path == str(tmp_path / "here" / "new.json")
    assert config.objectives["dir"].dir["mine"].path == f"{tmp_path / 'mine.py'}:label"
    assert config.objectives["dir"].dir["length"].path == f"{tmp_path / 'here' / 'b.py'}:f"
    assert config.chat_template == str(tmp_path / "chat.jinja")
    assert (config.model, config.out) == ("some/model", tmp_path / "runs" / "a")


def test_the_resolved_file_gives_an_equal_configuration(tmp_path: Path) -> None:
    config = load_config(
        write(tmp_path), ["engine.learning_rate=1e-6", "engine.save_strategy=no", "peft.r=4", "seed=7"]
    )
    again = tmp_path / "again.yaml"
    again.write_text(config.to_yaml())
    assert load_config(again) == config


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"objetives": {}}, "objetives: unknown key; did you mean 'objectives'?"),
        ({"objectives": {}}, "objectives: "),
        ({"objectives": {"a/b": None}}, "objectives.a/b: an objective's name is made of"),
        ({"objectives": {"dir": {"dri": {}}}}, "objectives.dir.dri: unknown key; did you mean 'dir'?"),
        ({"objectives": {"dir": {"dir": {"length": {"wait": 1}}}}}, "unknown key; did you mean 'weight'?"),
        ({"objectives": {"dir": {"dir": {"length": {"weight": -1}}}}}, "dir.length.weight: "),
        ({"objectives": {"dir": {"dir": {"length": {"classes": 1}}}}}, "dir.length.classes: "),
        (
            {"objectives": {"a": None, "b": {"residual_of": "aa"}}},
            "no objective 'aa' is trained here; did",
        ),
        ({"objectives": {"a": {"residual_of": "a"}}}, "no objective 'a' is trained here"),
        ({"objectives": {"a": {"residual_of": "b", "correlation": 1.0}, "b": None}}, "leave out dir and correlation"),
        ({"objectives": {"a": {"over": "all"}}}, "objectives.a.over: "),
        ({"data": {"train": {}}}, "data.train: "),
        (
            {"data": {"train": {"a": {"path": "x.json"}}, "eval": {"b": {"path": "x.json"}}}},
            "eval.b: reads rows",
        ),
        ({"data": {"train": {"a": {"path": "x.json", "spilt": "train"}}}}, "did you mean 'split'?"),
        ({"engine": {"learning_rat": 1}}, "engine.learning_rat: unknown key; did you mean 'learning_rate'?"),
        ({"engine": {"output_dir": "x"}}, "engine.output_dir: is set by out"),
        ({"engine": {"chat_template_path": "x"}}, "engine.chat_template_path: is set by chat_template"),
        ({"peft": {"rank": 1}}, "peft.rank: unknown key"),
        ({"out": ""}, "out: name the run folder"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(write(tmp_path, **changes))
    assert message in str(caught.value)


@pytest.mark.parametrize(("text", "message"), [("a: [", "cannot be read as YAML"), ("3", "holds 3, not keys")])
def test_a_file_that_is_no_configuration(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "run.yaml").write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_config(tmp_path / "run.yaml")


def test_a_file_that_is_not_there() -> None:
    with pytest.raises(ConfigError, match=r"no file lenght; did you mean 'length'\?; recipes that ship: .*, length$"):
        load_config("lenght")


@pytest.mark.parametrize("name", sorted(shipped_recipes()))
def test_every_recipe_that_ships_is_valid(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from trl import RewardConfig

    monkeypatch.chdir(tmp_path)
    config = load_config(name)
    assert isinstance(config, RewardModelConfig)
    assert config.out.is_relative_to(tmp_path)
    for objective in config.objectives.values():
        objective.biases()
    RewardConfig(output_dir=str(config.out), bf16=False, use_cpu=True, **config.engine)
