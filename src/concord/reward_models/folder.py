"""The folder of reward models: the configuration, and a folder for every objective."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from concord.core.errors import ConfigError, RunFolderError
from concord.reward_models.config import RewardModelConfig
from concord.reward_models.evaluate import SetEvaluation
from concord.run.folder import CONFIG, FACTS, versions, write_whole

MODEL, METRICS, RESIDUAL = "model", "metrics.jsonl", "residual.json"
"""In the folder of an objective: its model; what was logged; or the slope that is subtracted."""
EVALUATION, PLOT = "evaluation.json", "evaluation.png"


def check_folder(folder: Path) -> None:
    """Ask whether a run may be written there.

    Raises:
        RunFolderError: there is something.
    """
    if folder.is_file():
        raise RunFolderError(f"{folder} is a file; set another out")
    if folder.is_dir() and any(folder.iterdir()):
        raise RunFolderError(f"{folder} is not empty; set another out")


def open_folder(config: RewardModelConfig, labels: Mapping[str, Mapping[str, int]]) -> None:
    """Write ``config.yaml`` (resolved) and ``run.json``: seed, versions, and how often each bias has which label."""
    config.out.mkdir(parents=True, exist_ok=True)
    facts = {"seed": config.seed, "versions": versions(), "labels": labels}
    write_whole(config.out / FACTS, json.dumps(facts, indent=2) + "\n")
    write_whole(config.out / CONFIG, config.to_yaml())


def write_slope(folder: Path, of: str, slope: float) -> None:
    """Keep the reward per character that residualised scores are short of."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / RESIDUAL).write_text(json.dumps({"of": of, "reward_per_character": slope}) + "\n", encoding="utf-8")


def read_slope(folder: Path) -> float:
    """What :func:`write_slope` kept.

    Raises:
        ConfigError: there is nothing of the kind.
    """
    try:
        return float(json.loads((folder / RESIDUAL).read_text(encoding="utf-8"))["reward_per_character"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{folder / RESIDUAL} holds no slope; has the run finished? {error}") from error


def as_data(found: Mapping[str, Mapping[str, SetEvaluation]]) -> dict[str, Any]:
    """Evaluations by model and set as plain data; NaN, which JSON does not have, becomes None."""
    return {
        model: {name: _plain(dataclasses.asdict(evaluation)) for name, evaluation in sets.items()}
        for model, sets in found.items()
    }


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
