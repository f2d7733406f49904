"""The folder of reward models: the configuration, and a folder for every objective."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from concord.core.durable import read_json, write_whole
from concord.core.errors import ConfigError
from concord.reward_models.config import RewardModelConfig, load_config
from concord.reward_models.evaluate import SetEvaluation
from concord.run.folder import begin, check_free, check_same, check_state, check_writable, storage_faults
from concord.run.state import EVALUATION, Standing, State, standing, training

RESIDUAL, PLOT = "residual.json", "evaluation.png"
"""In the folder of an objective, the slope that is subtracted; in the run's, the evaluation as a picture."""

BESIDE = {"out", "sizes", "allow_missing_weights"}
"""Keys that play no part in how reward models train."""


def check_folder(config: RewardModelConfig, resume: bool = False, *, checksums: bool = False) -> Standing:
    """Ask whether a run may be written to its folder, or with ``resume`` go on there.

    Raises:
        RunFolderError: it may not; the message says what is the way on.
    """
    with storage_faults(config.out, partial(where, config, checksums=False)):
        check_free(config.out)
        found = where(config, checksums=checksums)
        check_state(found, resume)
        if resume and found.state is not State.OPENING:
            check_same(config.out, load_config, config, BESIDE)
        if found.state is not State.FINISHED:
            check_writable(config.out)
    return found


def where(config: RewardModelConfig, *, checksums: bool = True) -> Standing:
    """Read where a run of reward models stands: as far as the objective that is farthest behind.

    STARTED is a run in which some objective has a checkpoint or a model, and TRAINED one in which all have their models
    and slopes. The objectives themselves stand where :func:`concord.run.state.training` says.
    """
    evaluated = bool(config.data.eval)
    found = standing(config.out, evaluated=evaluated, checksums=checksums)
    if found.state in (State.FREE, State.OPENING, State.FOREIGN):
        return found
    damaged = {}
    if (config.out / EVALUATION).exists() and read_found(config.out) is None:
        damaged[config.out / EVALUATION] = "it does not hold evaluations"
    states = []
    for name, objective in config.objectives.items():
        if objective.residual_of is None:
            one = training(config.out / name, checksums=checksums)
            states.append(one.state)
            damaged |= one.damaged
        else:
            states.append(State.TRAINED if read_json(config.out / name / RESIDUAL) else State.OPENED)
    if any(state is not State.TRAINED for state in states):
        fresh = not damaged and all(state is State.OPENED for state in states)
        return Standing(config.out, State.OPENED if fresh else State.STARTED, None, damaged)
    whole = not evaluated or read_found(config.out) is not None
    return Standing(config.out, State.FINISHED if whole else State.TRAINED, None, damaged)


def open_folder(config: RewardModelConfig, labels: Mapping[str, Mapping[str, int]]) -> None:
    """Write ``run.json`` (seed, versions, and how often each bias has which label) and ``config.yaml``."""
    begin(config.out, config.to_yaml(), {"seed": config.seed, "labels": labels})


def write_slope(folder: Path, of: str, slope: float) -> None:
    """Keep the reward per character that residualised scores are short of."""
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / RESIDUAL, json.dumps({"of": of, "reward_per_character": slope}) + "\n")


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


def read_found(folder: Path) -> dict[str, dict[str, SetEvaluation]] | None:
    """Read the evaluations that a run has kept; None if it has not, or if the file holds something else."""
    kept = _with_nan(read_json(folder / EVALUATION))
    try:
        return TypeAdapter(dict[str, dict[str, SetEvaluation]]).validate_python(kept)
    except ValidationError:
        return None


def _with_nan(value: Any, key: str = "") -> Any:
    """Undo what :func:`as_data` did to numbers."""
    if isinstance(value, dict):
        return {name: _with_nan(item, name) for name, item in value.items()}
    if isinstance(value, list):
        return [_with_nan(item) for item in value]
    return math.nan if value is None and key != "styles" else value


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
