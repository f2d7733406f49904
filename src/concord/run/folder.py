"""The folder of a run: one run each, with the configuration that it can be repeated from."""

from __future__ import annotations

import json
import logging
import os
from importlib import metadata
from pathlib import Path
from typing import Any

from concord.core.errors import ConfigError, RunFolderError
from concord.core.redaction import private
from concord.rewards import RewardSet
from concord.run.config import RunConfig, load_config

_log = logging.getLogger(__name__)

CONFIG = "config.yaml"
FACTS = "run.json"
BESIDE = {"out", "evaluations", "sizes", "allow_missing_weights"}
"""Keys that play no part in how a run trains."""

_PACKAGES = {"torch", "trl", "transformers"}


def check_run_folder(path: str | Path, config: RunConfig, resume: bool = False) -> None:
    """Ask whether :func:`open_run_folder` would go through, before anything expensive is done.

    Raises:
        RunFolderError: the folder holds another run, or other files; with ``resume``, it holds no run or one whose
            configuration differs, and the message says where. A moved folder (``out``) is no difference.
    """
    folder = Path(path)
    if resume:
        _check_same(folder, config)
    elif folder.is_file():
        raise RunFolderError(f"{folder} is a file; set another out")
    elif (folder / CONFIG).exists():
        raise RunFolderError(
            f"{folder} holds a run already; set another out, or resume (--resume) to go on with that run"
        )
    elif folder.is_dir() and any(folder.iterdir()):
        raise RunFolderError(f"{folder} is not empty and holds no run; set another out")


def open_run_folder(path: str | Path, config: RunConfig, rewards: RewardSet, resume: bool = False) -> Path:
    """Make the folder of a new run, or check that it holds the run to go on with.

    A new folder gets ``config.yaml`` (resolved; :func:`load_config` on it gives an equal configuration) and
    ``run.json`` (the seed, the versions of concord, torch, trl and transformers, and by reward the form of its
    function with the file that holds it and that file's SHA-256). Going on with a run whose reward code has changed
    is possible, and warned of. With several processes the main one calls this, the others wait for it.

    Raises:
        RunFolderError: as :func:`check_run_folder`.
    """
    folder = Path(path)
    check_run_folder(folder, config, resume)
    code = {r.name: {"form": rewards.forms[r.name], **r.source.code()} for r in rewards.rewards}
    if resume:
        _warn_of_other_code(folder, code)
    else:
        folder.mkdir(parents=True, exist_ok=True)
        facts = {"seed": config.seed, "versions": versions(), "rewards": code}
        write_whole(folder / FACTS, json.dumps(facts, indent=2) + "\n")
        write_whole(folder / CONFIG, config.to_yaml())  # last: its presence says that the folder is complete
    return folder


def _warn_of_other_code(folder: Path, code: dict[str, dict[str, str]]) -> None:
    try:
        there = json.loads((folder / FACTS).read_text(encoding="utf-8")).get("rewards", {})
    except (OSError, ValueError):
        return
    for name, now in code.items():
        if there.get(name, now).get("sha256") != now.get("sha256"):
            _log.warning("reward %r: its file has changed since the run began; the steps before saw other scores", name)


def _check_same(folder: Path, config: RunConfig) -> None:
    if not (folder / CONFIG).is_file():
        raise RunFolderError(f"{folder} holds no run to resume; leave resume out to start one")
    try:
        there = load_config(folder / CONFIG)
    except ConfigError as error:
        raise RunFolderError(f"{folder} holds a run that this version cannot read: {error}") from error
    differences = _differences(there.model_dump(exclude=BESIDE), config.model_dump(exclude=BESIDE))
    if differences:
        raise RunFolderError(
            f"{folder} holds another run; it differs at {'; '.join(differences)}. "
            "Set another out, or resume with its own configuration"
        )


def _differences(there: Any, here: Any, where: str = "") -> list[str]:
    if isinstance(there, dict) and isinstance(here, dict):
        keys = [*there, *(key for key in here if key not in there)]
        below = (_differences(there.get(key), here.get(key), f"{where}.{key}".lstrip(".")) for key in keys)
        return [difference for part in below for difference in part]
    return [] if there == here else [f"{where} ({there!r} there, {here!r} here)"]


def versions() -> dict[str, str]:
    """Of concord, and of torch, trl and transformers where they are installed."""
    from concord import __version__

    installed = {distribution.name: distribution.version for distribution in metadata.distributions()}
    return {"concord": __version__} | {name: installed[name] for name in _PACKAGES if name in installed}


def write_whole(path: Path, text: str) -> None:
    """All of it or nothing: a killed process leaves no half file under the name."""
    unfinished = path.with_name(path.name + ".tmp")
    with open(unfinished, "w", encoding="utf-8", opener=private) as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)
