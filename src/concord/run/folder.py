"""The folder of a run: one run each, with the configuration that it can be repeated from."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

from concord.core.durable import clear_unfinished, storage_fault, write_whole
from concord.core.errors import ConfigError, RunFolderError
from concord.core.lock import check_unlocked
from concord.rewards import RewardSet
from concord.run.config import RunConfig, load_config
from concord.run.section import Section
from concord.run.state import CONFIG, EVALUATION, FACTS, Standing, State, standing

_log = logging.getLogger(__name__)

BESIDE = {"out", "evaluations", "sizes", "allow_missing_weights"}
"""Keys that play no part in how a run trains."""

_PACKAGES = {"torch", "trl", "transformers"}


def check_run_folder(path: str | Path, config: RunConfig, resume: bool = False) -> Standing:
    """Ask whether :func:`open_run_folder` would go through, before anything expensive is done.

    Returns:
        where the run in the folder stands, by the sizes of its files.

    Raises:
        RunFolderError: the folder holds another run, or other files, or another process writes to it; with ``resume``,
            it holds no run or one whose configuration differs, and the message says where. A moved folder (``out``) is
            no difference.
    """
    folder = Path(path)
    stands = partial(standing, folder, evaluated=config.data.eval is not None, checksums=False)
    with storage_faults(folder, stands):
        check_free(folder)
        found = stands()
        check_state(found, resume)
        if resume and found.state is not State.OPENING:
            check_same(folder, load_config, config, BESIDE)
        if found.state is not State.FINISHED:
            check_writable(folder)
    return found


def check_free(folder: Path) -> None:
    """Ask whether a path may be a run folder of this process's.

    Raises:
        RunFolderError: it is a file, or another process writes to it.
    """
    if folder.is_file():
        raise RunFolderError(f"{folder} is a file; set another out")
    check_unlocked(folder)


def check_writable(folder: Path) -> None:
    """Ask whether this user may write to a run folder, or make it.

    Raises:
        RunFolderError: the folder, or the nearest one above it that exists, is read-only.
    """
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not os.access(there, os.W_OK | os.X_OK):
        raise RunFolderError(f"{folder}: {there} cannot be written to by this user; put that right, or set another out")


def check_state(found: Standing, resume: bool) -> None:
    """Ask whether a run may start in a folder, or with ``resume`` go on.

    Raises:
        RunFolderError: it may not; the message says what is the way on.
    """
    folder = found.folder
    if resume and found.state in (State.FREE, State.FOREIGN):
        raise RunFolderError(f"{folder} holds no run to resume; leave resume out to start one")
    if found.state is State.FOREIGN:
        raise RunFolderError(f"{folder} is not empty and holds no run; set another out")
    if not resume and not found.fresh:
        raise RunFolderError(
            f"{folder} holds a run already; set another out, or resume (--resume) to go on with that run. "
            f"{found.sentence()}"
        )


def open_run_folder(path: str | Path, config: RunConfig, rewards: RewardSet, resume: bool = False) -> Path:
    """Make the folder of a new run, or check that it holds the run to go on with.

    A new folder gets ``config.yaml`` (resolved; :func:`load_config` on it gives an equal configuration) and
    ``run.json`` (the seed, the versions of concord, torch, trl and transformers, and by reward the form of its
    function with the file that holds it and that file's SHA-256). A folder in which nothing has been trained is made
    anew. Going on with a run whose reward code has changed is possible, and warned of. With several processes the main
    one calls this, under the folder's lock, and the others wait for it.

    Raises:
        RunFolderError: as :func:`check_run_folder`.
    """
    folder = Path(path)
    found = check_run_folder(folder, config, resume)
    code = {r.name: {"form": rewards.forms[r.name], **r.source.code()} for r in rewards.rewards}
    if resume and found.state is not State.OPENING:
        _warn_of_other_code(folder, code)
    else:
        begin(folder, config.to_yaml(), {"seed": config.seed, "rewards": code})
    return folder


def begin(folder: Path, config: str, facts: dict[str, Any]) -> None:
    """Write what a new run starts with: ``run.json``, and last ``config.yaml``, which makes the folder a run's.

    Args:
        folder: made if absent.
        config: the resolved configuration as YAML. It may hold the address of a reward's server with a key in it, so
            that only its owner may read it.
        facts: of ``run.json``, beside the versions.
    """
    folder.mkdir(parents=True, exist_ok=True)
    clear_unfinished(folder)
    (folder / EVALUATION).unlink(missing_ok=True)  # of a start before this one, in which nothing was trained
    write_whole(folder / FACTS, json.dumps({**facts, "versions": versions()}, indent=2) + "\n", private=True)
    write_whole(folder / CONFIG, config, private=True)


@contextmanager
def storage_faults(folder: Path, stands: Callable[[], Standing]) -> Iterator[None]:
    """Turn what a disk says (full, read-only, out of quota, broken) into one line that says where the run stands.

    Args:
        folder: of the run.
        stands: reads where it stands.

    Raises:
        RunFolderError: the disk could not do what was asked.
    """
    try:
        yield
    except Exception as error:
        said = storage_fault(error, folder)
        if said is None:
            raise
        raise RunFolderError(f"{folder}: {said}. {_way_on(stands)}") from error


def _way_on(stands: Callable[[], Standing]) -> str:
    try:
        found = stands()
    except OSError:
        return "Put that right and run the command again"
    begun = found.state not in (State.FREE, State.OPENING)
    return f"Put that right first. {found.sentence()}" if begun else "Put that right and run the command again"


def _warn_of_other_code(folder: Path, code: dict[str, dict[str, str]]) -> None:
    try:
        there = json.loads((folder / FACTS).read_text(encoding="utf-8")).get("rewards", {})
    except (OSError, ValueError):
        return
    for name, now in code.items():
        if there.get(name, now).get("sha256") != now.get("sha256"):
            _log.warning("reward %r: its file has changed since the run began; the steps before saw other scores", name)


def check_same(folder: Path, load: Callable[[Path], Section], config: Section, beside: set[str]) -> None:
    """Compare a run's configuration with the one that is given.

    Args:
        folder: of the run.
        load: reads the configuration there.
        config: that is given.
        beside: keys that may differ.

    Raises:
        RunFolderError: they differ, and where; or the one there cannot be read.
    """
    try:
        there = load(folder / CONFIG)
    except ConfigError as error:
        raise RunFolderError(f"{folder} holds a run that this version cannot read: {error}") from error
    differences = _differences(there.model_dump(exclude=beside), config.model_dump(exclude=beside))
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
