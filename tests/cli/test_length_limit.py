"""One limit on a response, wherever it is read: training, its evaluation, later ones, the estimate, another engine."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transformers import GenerationMixin
from trl import GRPOConfig

from concord.core import safe_yaml
from concord.core.errors import MissingExtra
from concord.run.config import load_config
from concord.run.cost import estimate
from concord.run.evaluations import completion_limit
from concord.run.launch import plan
from tests.cli.test_commands import Run, run  # noqa: F401 fixture
from tests.cli.test_compare import Words, compared, trained  # noqa: F401 fixtures

TRLS = next(f.default for f in dataclasses.fields(GRPOConfig) if f.name == "max_completion_length")
ROLLOUTS = 16  # of an update, and its prompts have no limit

Limits = Callable[[], list[Any]]


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> Limits:
    """What every call of ``generate`` since the last time was told to cut at; it cuts at three tokens."""
    asked: list[Any] = []
    generate = GenerationMixin.generate

    def short(self: Any, *args: Any, **options: Any) -> Any:
        if config := options.get("generation_config"):  # TRL's trainer
            asked.append(config.max_new_tokens)
            options["generation_config"] = None
            options |= {"do_sample": True, "max_new_tokens": 3}
        else:
            asked.append(options["max_new_tokens"])
            options["max_new_tokens"] = 3
        return generate(self, *args, **options)

    monkeypatch.setattr(GenerationMixin, "generate", short)

    def since() -> list[Any]:
        found = list(asked)
        asked.clear()
        return found

    return since


@pytest.fixture
def silent(compared: Path) -> Path:  # noqa: F811
    """The run, which does not say where a response is cut."""
    raw = safe_yaml.read(compared.read_text())
    del raw["engine"]["max_completion_length"]
    raw["engine"]["max_steps"] = 1
    compared.write_text(safe_yaml.write(raw))
    return compared


@pytest.mark.parametrize(("words", "limit"), [([], TRLS), (["engine.max_completion_length=6"], 6)])
def test_it_is_the_same_for_all(
    words: list[str],
    limit: int,
    silent: Path,
    limits: Limits,
    run: Run,  # noqa: F811
    trained: Words,  # noqa: F811
    tmp_path: Path,
) -> None:
    comparison = ["compare", str(silent), *words, "--method", "grpo", "--seeds", "1", "--json"]
    assert run(*comparison, "--on", "held_out").returncode == 0
    assert limits() == [limit] * 3  # base on the held-out prompts, a step of training, trained on the held-out prompts

    assert run(*comparison).returncode == 0
    assert len(trained) == 1
    assert limits() == [limit] * 2  # `concord compare` on the two sets of "letters"
    kept = silent.parent / "runs" / "a" / "grpo" / "seed0"
    assert run(*comparison).returncode == 0
    assert limits() == []  # which are kept,

    letters = kept / "evaluations" / "letters.json"
    older = json.loads(letters.read_text())
    older["evaluation"]["max_completion_length"] = limit // 2
    letters.write_text(json.dumps(older))
    assert run(*comparison).returncode == 0
    assert limits() == [limit] * 2  # unless they were cut elsewhere

    assert run("eval", str(kept), "--json").returncode == 0
    assert limits() == [limit] * 6  # held-out prompts and two sets, base and trained

    config = load_config(silent, words)
    assert estimate(config).tokens == ROLLOUTS * limit
    assert f"data.max_response_length={limit}" in plan(config, tmp_path, nodes=1, gpus=1).words


def test_an_evaluation_may_have_its_own(silent: Path, limits: Limits, run: Run) -> None:  # noqa: F811
    words = ["evaluations.letters.max_completion_length=5", "engine.max_completion_length=6"]
    assert run("eval", str(silent), "--on", "letters", *words, "--json").returncode == 0
    assert limits() == [5] * 2


def test_none_at_all_is_nothing_that_can_be_estimated(
    silent: Path,
    limits: Limits,
    run: Run,  # noqa: F811
    tmp_path: Path,
) -> None:
    words = ["engine.max_completion_length=null"]
    assert run("eval", str(silent), "--on", "letters", *words, "--json").returncode == 0
    assert limits() == [None] * 2
    config = load_config(silent, words)
    assert estimate(config).tokens is None
    launch = plan(config, tmp_path, nodes=1, gpus=1)
    assert not any(word.startswith("data.max_response_length") for word in launch.words)
    assert any(line.startswith("engine.max_completion_length=None: verl always has a limit") for line in launch.left)


def test_it_is_read_and_not_remembered(silent: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With a TRL whose default is another."""

    @dataclasses.dataclass
    class Later(GRPOConfig):  # type: ignore[misc]
        max_completion_length: int | None = 33
        per_device_train_batch_size: int = 4
        gradient_accumulation_steps: int = 2
        beta: float = 0.04
        temperature: float = 0.9

    monkeypatch.setattr("trl.GRPOConfig", Later)
    words = ["engine={num_generations: 4}", "model=builtin:tool_task/seed0"]
    config = load_config(silent, words)
    assert completion_limit(config, config.evaluations["letters"]) == 33
    cost = estimate(config)
    assert cost.tokens == 4 * 2 * 33
    assert cost.memory == 5 * 4 * 137_216  # with a reference model
    launch = plan(config, tmp_path, nodes=1, gpus=1)
    for option in (
        "data.max_response_length=33",
        "actor_rollout_ref.rollout.temperature=0.9",
        "data.train_batch_size=2",
    ):
        assert option in launch.words


def test_without_trl_a_run_that_does_not_say_it_is_refused_with_what_to_install(
    silent: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, spelled = load_config(silent), load_config(silent, ["engine.max_completion_length=6"])
    monkeypatch.setitem(sys.modules, "trl", None)
    evaluation = config.evaluations["letters"]
    assert completion_limit(spelled, evaluation) == 6
    for ask in (lambda: completion_limit(config, evaluation), lambda: estimate(config)):
        with pytest.raises(MissingExtra, match=r"trl is not installed; run: pip install 'concord-rl\[train\]'"):
            ask()
