"""One run with several methods and seeds: trained in processes of their own, evaluated, collected."""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from rich.console import Console

from concord.core.errors import RunFolderError
from concord.engines.defaults import GRPO
from concord.run.config import HELD_OUT, EvaluationConfig, RunConfig, load_config
from concord.run.evaluate import Evaluation
from concord.run.evaluations import Found, completion_limit, evaluate_sets, load_policy
from concord.run.folder import CONFIG, check_run_folder, write_whole
from concord.run.paths import escaped
from concord.run.train import EVALUATION, MODEL, finished

FOLDER = "evaluations"


@dataclass(frozen=True)
class Member:
    """One run of a comparison.

    Attributes:
        label: of its method.
        config: its configuration.
        words: of the command that trains it, behind ``concord``.
    """

    label: str
    config: RunConfig
    words: tuple[str, ...]


def members(run: str, overrides: Sequence[str], methods: Sequence[str], seeds: int) -> list[Member]:
    """The runs of a comparison, ``<out>/<method>/seed<n>`` each, checked.

    Args:
        run: a YAML file, or the name of a recipe that ships.
        overrides: ``key.sub=value`` each.
        methods: values of ``method``, such as ``grpo`` or ``{name: gd2po, tau: 0.5}``; none = the run's own.
        seeds: 0, 1, ..., so many.

    Raises:
        ConfigError: a configuration does not fit.
        RunFolderError: a folder holds another run.
    """
    made = []
    for method in dict.fromkeys(methods) or (None,):
        chosen = [*overrides, *([] if method is None else [f"method={method}"])]
        config = load_config(run, chosen)
        label = config.method.name if method is None else re.sub(r"[^\w.]+", "-", method).strip("-")
        for seed in range(seeds):
            words = [*chosen, f"seed={seed}", f"out={escaped(str(config.out / label / f'seed{seed}'))}"]
            made.append(Member(label, load_config(run, words), ("train", run, *words)))
    for member in made:
        check_run_folder(member.config.out, member.config, resume=_begun(member.config.out))
    return made


def train_member(member: Member, launcher: Sequence[str], output: TextIO | None = None) -> None:
    """Train one run in a process of its own, unless that is done; one that was broken off goes on.

    Args:
        member: the run.
        launcher: words before ``concord train``; empty = this Python.
        output: where the process prints; None = to stdout.

    Raises:
        RunFolderError: the process ended with a fault.
    """
    if finished(member.config):
        return
    resume = ["--resume"] if _begun(member.config.out) else []
    words = [*(launcher or [sys.executable, "-m"]), "concord", *member.words, *resume]
    code = subprocess.run(words, check=False, stdout=output).returncode
    if code:
        raise RunFolderError(
            f"{member.config.out}: training ended with code {code}, see above; the same command goes on from there"
        )


def evaluate_member(
    member: Member, evaluations: dict[str, EvaluationConfig], *, batch_size: int = 64, console: Console | None = None
) -> dict[str, Found]:
    """What a trained run's evaluations found, by name; kept in its folder, and read from there the next time."""
    config, found, policy = member.config, {}, None
    for name, evaluation in evaluations.items():
        kept = _kept(config, name, evaluation)
        if kept is None:
            policy = policy or load_policy(str(config.out / MODEL), on_cpu=GRPO.read(config.engine, "use_cpu"))
            title = f"Evaluating {member.label}, seed {config.seed}, {name}"
            kept = evaluate_sets(config, evaluation, policy, batch_size=batch_size, console=console, title=title)
            _keep(config, name, evaluation, kept)
        found[name] = kept
    return found


def _begun(folder: Path) -> bool:
    return (folder / CONFIG).exists()


def _facts(config: RunConfig, evaluation: EvaluationConfig) -> dict[str, Any]:
    """What the result depends on; figures of others are not among it."""
    given = evaluation.model_copy(
        update={
            "rewards": evaluation.rewards or config.rewards,
            "max_completion_length": completion_limit(config, evaluation),
            "published": None,
        }
    )
    return given.model_dump(mode="json")


def _kept(config: RunConfig, name: str, evaluation: EvaluationConfig) -> Found | None:
    if name == HELD_OUT:
        found = json.loads((config.out / EVALUATION).read_text(encoding="utf-8"))
        return {HELD_OUT: Evaluation(**found["trained"])}
    path = config.out / FOLDER / f"{name}.json"
    content = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    if content.get("evaluation") != _facts(config, evaluation):
        return None
    return {label: Evaluation(**values) for label, values in content["trained"].items()}


def _keep(config: RunConfig, name: str, evaluation: EvaluationConfig, found: Found) -> None:
    (config.out / FOLDER).mkdir(exist_ok=True)
    values = {label: dataclasses.asdict(value) for label, value in found.items()}
    content = {"evaluation": _facts(config, evaluation), "trained": values}
    write_whole(config.out / FOLDER / f"{name}.json", json.dumps(content, indent=2) + "\n")
