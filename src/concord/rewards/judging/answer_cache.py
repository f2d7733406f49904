"""Answers of judges on disk, found again by what was asked."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from concord.core.errors import ConfigError

_log = logging.getLogger(__name__)

MOST = 100_000
"""Answers that are kept when a cache is opened, the newest; of some hundred bytes each."""

LARGEST = 2**20
"""Bytes of an entry; larger ones are damaged."""


def default_folder() -> Path:
    """Where answers lie unless a folder is named: ``concord/judge`` in the user's cache folder."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "concord" / "judge"


class AnswerCache:
    """A folder with a file for each answer, named by the hash of the question.

    A file is written under another name and renamed when it is whole, so that several processes may share a folder
    and a killed one leaves nothing that is read. An entry that does not match its own checksum is deleted, and so its
    question is asked again. A disk that takes no more entries is warned of once, and no reason to fail.

    Args:
        folder: made if it is not there; readable by its owner only.
        most: entries that are kept when the cache is opened. It grows without bound until it is opened again.

    Attributes:
        damaged: how many entries were deleted because they were damaged.

    Raises:
        ConfigError: the folder cannot be made.

    Example:
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     cache = AnswerCache(Path(folder))
        ...     cache.put(cache.key(model="m", prompt="?"), {"text": "7"})
        ...     cache.get(cache.key(prompt="?", model="m")), cache.get(cache.key(prompt="!", model="m"))
        ({'text': '7'}, None)
    """

    def __init__(self, folder: Path, most: int = MOST) -> None:
        self._folder = folder.expanduser()
        self._full = False
        self.damaged = 0
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._forget(most)
        except OSError as error:
            raise ConfigError(
                f"the judge's cache {self._folder} cannot be used: {error.strerror or error}; name another folder as "
                "cache:, or say cache: false"
            ) from error

    @staticmethod
    def key(**question: Any) -> str:
        """The hash of a question: of all that its answer depends on, as JSON."""
        return hashlib.sha256(json.dumps(question, sort_keys=True).encode()).hexdigest()

    def get(self, key: str) -> dict[str, Any] | None:
        """The answer under a key; None if there is none, or it was damaged."""
        path = self._path(key)
        try:
            with path.open("rb") as file:
                content = file.read(LARGEST + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            self._warn(error)
            return None
        answer = _read(content)
        if answer is None:
            self.damaged += 1
            _log.warning("the judge's cache: %s is damaged and was deleted; its question is asked again", path.name)
            path.unlink(missing_ok=True)
        return answer

    def put(self, key: str, answer: Mapping[str, Any]) -> None:
        """Keep an answer, unless it is larger than an entry may be."""
        text = json.dumps(answer)
        if 2 * len(text) > LARGEST:  # it is quoted once more
            return
        path = self._path(key)
        try:
            path.parent.mkdir(mode=0o700, exist_ok=True)
            number, partial = tempfile.mkstemp(dir=path.parent)  # readable by its owner only
            try:
                with open(number, "w", encoding="utf-8") as file:
                    json.dump({"answer": text, "sha256": _checksum(text)}, file)
                os.replace(partial, path)
            except BaseException:
                Path(partial).unlink(missing_ok=True)
                raise
        except OSError as error:
            self._warn(error)

    def _path(self, key: str) -> Path:
        return self._folder / key[:2] / f"{key}.json"

    def _forget(self, most: int) -> None:
        """Delete the oldest files, unfinished ones too, until ``most`` are left."""
        found: list[tuple[float, str]] = []
        for entry in os.scandir(self._folder):
            for file in os.scandir(entry.path) if entry.is_dir(follow_symlinks=False) else ():
                with contextlib.suppress(FileNotFoundError):  # another process has just renamed it
                    found.append((file.stat(follow_symlinks=False).st_mtime, file.path))
        for _, path in sorted(found)[: max(0, len(found) - most)]:
            Path(path).unlink(missing_ok=True)

    def _warn(self, error: OSError) -> None:
        if not self._full:
            self._full = True
            _log.warning("the judge's cache %s cannot be used, so answers are asked for again: %s", self._folder, error)


def _checksum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _read(content: bytes) -> dict[str, Any] | None:
    """The answer in an entry's bytes; None if they are not what was written."""
    if len(content) > LARGEST:
        return None
    try:
        entry = json.loads(content)
        text = entry["answer"]
        answer = json.loads(text) if entry["sha256"] == _checksum(text) else None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    return answer if isinstance(answer, dict) else None
