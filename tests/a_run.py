"""A run on a tiny model, as a user writes it."""

from __future__ import annotations

from pathlib import Path

import pytest

from concord.core import safe_yaml
from tests.engines import tiny

REWARDS = '''
def early(completions, **_):
    """Share of letters from the first half of the alphabet."""
    return [sum(c in "abcdefgh" for c in t.split()) / max(1, len(t.split())) for t in completions]


def brief(completions, **_):
    return [1.0 - len(t.split()) / 8 for t in completions]


def silent(completions, **_):
    return [None] * len(completions)


def odd(completions, **_):
    return [1.0]


def last(completions, **_):
    return [t[-1:] for t in completions]
'''


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    tiny.model().save_pretrained(folder)
    tiny.tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture
def run_file(tmp_path: Path, tiny_model: Path) -> Path:
    """A YAML file as a user writes it, with rewards and rows beside it."""
    (tmp_path / "my_rewards.py").write_text(REWARDS)
    tiny.prompts(16).to_json(tmp_path / "rows.jsonl")
    options = {
        "per_device_train_batch_size": 16,
        "num_generations": 4,
        "max_completion_length": 8,
        "learning_rate": 0.01,
        "max_steps": 3,
        "save_steps": 2,
        "use_cpu": True,
    }
    run = {
        "model": str(tiny_model),
        "method": {"name": "gd2po", "tau": 0.5},
        "data": {"path": "rows.jsonl", "eval": {"split": "train[:8]"}},
        "rewards": {
            "early": {"path": "my_rewards.py:early"},
            "brief": {"path": "my_rewards.py:brief", "weight": 0.5},
        },
        "engine": options,
        "out": "runs/a",
    }
    path = tmp_path / "run.yaml"
    path.write_text(safe_yaml.write(run))
    return path
