"""From a run's configuration to the command that runs it on verl."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from concord.core.errors import ConfigError, RunFolderError
from concord.core.redaction import HIDDEN, private
from concord.core.safe_yaml import read_file
from concord.engines.settings import Settings
from concord.engines.verl.settings import ESTIMATOR, TRAINERS, WHERE
from concord.engines.verl.translate import translate
from concord.run import paths
from concord.run.config import RunConfig
from concord.run.paths import model_source

RUN, SCRIPT, TRAIN, HELD_OUT = "run.yaml", "command.sh", "train.parquet", "eval.parquet"


@dataclass(frozen=True)
class Launch:
    """What runs a configuration on verl.

    Attributes:
        folder: where the files belong; the command names them there.
        words: verl's command line, unquoted.
        files: text by name: the resolved configuration, and a script with the whole command.
        left: what of the configuration could not be carried over, one line each.
    """

    folder: Path
    words: tuple[str, ...]
    files: Mapping[str, str]
    left: tuple[str, ...]

    def write(self) -> None:
        """Write the files.

        Raises:
            RunFolderError: the folder holds other files.
        """
        there = {path.name for path in self.folder.glob("*")} - {*self.files, TRAIN, HELD_OUT}
        if there:
            raise RunFolderError(f"{self.folder} holds other files ({sorted(there)[0]}); name another with --to")
        self.folder.mkdir(parents=True, exist_ok=True)
        for name, text in self.files.items():
            with open(self.folder / name, "w", encoding="utf-8", opener=private) as file:
                file.write(text)


def plan(config: RunConfig, folder: Path, *, nodes: int, gpus: int, options: Sequence[str] = ()) -> Launch:
    """Translate a configuration for verl.

    Args:
        config: of the run.
        folder: where the files will be; every node must see it.
        nodes, gpus: of the Ray cluster, and of each node.
        options: verl's own overrides, handed on as they are, behind the others.

    Raises:
        ConfigError: a method that verl cannot run, sizes that do not fit the cluster, an option without ``=``, a
            secret that is not named as ``env:NAME``.
    """
    folder = folder.absolute()
    for option in options:
        if "=" not in option:
            raise ConfigError(f"{option!r} is no option of verl; write key=value")
    weights = {name: weight for name, weight in _weights(config).items() if weight != 1}
    args = {**config.method.parameters, **({"weights": weights} if weights else {})}
    floors = {name: reward.noise_floor for name, reward in config.rewards.items() if reward.noise_floor}
    Settings(config.method.name, tuple(config.rewards), args, WHERE, floors)
    translated = translate(config.engine, config.peft, nodes * gpus)
    left = [*_left(config), *translated.left]
    chosen: dict[str, Any] = {
        "algorithm.adv_estimator": ESTIMATOR,
        "trainer.v1.trainer_mode": next(iter(TRAINERS)),
        f"+{WHERE}.method": config.method.name,
        **{f"+{WHERE}.args.{name}": value for name, value in config.method.parameters.items()},
        **{f"+{WHERE}.args.weights.{name}": weight for name, weight in weights.items()},
        f"+{WHERE}.rewards": list(config.rewards),
        **{f"+{WHERE}.noise_floor.{name}": floor for name, floor in floors.items()},
        "actor_rollout_ref.model.path": model_source(config.model),
        "data.train_files": str(folder / TRAIN),
        "data.val_files": str(folder / (HELD_OUT if config.data.eval else TRAIN)),
        **translated.options,
        **_prompts(config),
        "data.seed": config.seed,
        "reward.custom_reward_function.path": "pkg://concord.run.launch.score",
        "+reward.custom_reward_function.reward_kwargs.run": str(folder / RUN),
        "trainer.val_before_train": config.data.eval is not None,
        "trainer.nnodes": nodes,
        "trainer.n_gpus_per_node": gpus,
        "trainer.project_name": "concord",
        "trainer.experiment_name": config.out.name,
        "trainer.default_local_dir": str(config.out / "verl"),
    }
    words = (*(f"{key}={_value(value)}" for key, value in chosen.items() if value is not None), *options)
    if HIDDEN in (run := config.to_yaml()):
        raise ConfigError(
            "a secret stands in this configuration, and the nodes read it from a file, which holds none; write "
            "env:NAME in its place, and set that variable on every node"
        )
    files = {RUN: run, SCRIPT: _script(words, nodes)}
    return Launch(folder, words, files, tuple(left))


def _prompts(config: RunConfig) -> dict[str, Any]:
    limit = config.data.max_prompt_tokens
    return {} if limit is None else {"data.max_prompt_length": limit, "data.filter_overlong_prompts": True}


def _weights(config: RunConfig) -> dict[str, float]:
    return {reward.name: reward.weight_at(0) for reward in (c.named(n, None) for n, c in config.rewards.items())}


def _left(config: RunConfig) -> list[str]:
    left = []
    for name, reward in config.rewards.items():
        if not isinstance(reward.weight, int | float):
            left.append(f"rewards.{name}.weight is a schedule: verl keeps its weight at step 0")
        if reward.max_failed is not None:
            left.append(f"rewards.{name}.max_failed: verl asks for one rollout at a time")
    if raising := [name for name, reward in config.rewards.items() if reward.on_error == "raise"]:
        left.append(f"on_error: raise ({', '.join(raising)}) leaves a prompt out in verl, and does not stop the run")
    if config.evaluations:
        left.append("evaluations: `concord eval --model` runs them on the trained policy")
    if config.refill_rounds:
        left.append("refill_rounds: verl draws further prompts itself, by one metric: algorithm.filter_groups")
    if config.data.max_prompt_tokens is None:
        left.append(
            "data.max_prompt_tokens is not set: verl's own data.max_prompt_length holds, and longer is an error"
        )
    return left


def _value(value: Any) -> str:
    """A value in the grammar of hydra's overrides.

    Example:
        >>> [_value(v) for v in (None, True, 0.5, ["a", "b"], "it's")]
        ['null', 'true', '0.5', '[a,b]', "'it\\\\'s'"]
    """
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list | tuple):
        return f"[{','.join(map(_value, value))}]"
    if isinstance(value, Mapping):
        return f"{{{','.join(f'{key}:{_value(entry)}' for key, entry in value.items())}}}"
    text = str(value)
    plain = not isinstance(value, str) or (all(c.isalnum() or c in "_-./:" for c in text) and text not in _NOT_TEXT)
    return text if plain and text else "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


_NOT_TEXT = ("null", "true", "false", "nan", "inf")


def _script(words: Sequence[str], nodes: int) -> str:
    lines = " \\\n  ".join(["python -m verl.trainer.main_ppo", *map(shlex.quote, words)])
    where = f"on the head of a Ray cluster of {nodes} nodes (RAY_ADDRESS=auto)" if nodes > 1 else "on the machine"
    return (
        "#!/usr/bin/env bash\n"
        f"# Run {where}, in an environment with: pip install 'concord-rl[verl]'\n"
        "set -euo pipefail\n"
        'cd "$(dirname "$0")"\n'
        f"python -m concord.run.launch.rows {RUN}\n"
        f"{lines}\n"
    )


def read(folder: Path) -> dict[str, Any]:
    """The resolved configuration in a launch folder, as plain data: where verl is, there is no TRL to check it."""
    content: dict[str, Any] = read_file(folder / RUN).value
    paths.resolve(content, folder)
    return content
