"""Files and folders that are whole or absent, whenever the process is stopped.

A file is written under another name in its own folder, brought to the disk, and renamed; then the folder's entry is
brought to the disk too. A folder is filled under another name, gets a manifest of its files as the last of them, and
is renamed. So a name that can be seen holds all of what was meant for it. What a stop leaves under the other names is
known by its ending and removed by the next writer.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

MANIFEST = "concord_manifest.json"
"""In a folder that :func:`seal` has sealed: size and SHA-256 of every other file."""

UNFINISHED, REPLACED = ".unfinished", ".replaced"
"""Endings of what is being written, and of a folder whose successor is being put in its place."""

PRIVATE = 0o600
"""The mode of files that could hold a secret: their owner reads them."""

_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EFBIG, errno.ENODEV, errno.ESTALE}
_RUST = re.compile(r"\(os error (\d+)\)")
_TORCH = re.compile(r"PytorchStreamWriter|inline_container|basic_ios|unexpected pos")


# ---- Files ----


@contextmanager
def whole_file(path: Path, *, private: bool = False) -> Iterator[Path]:
    """Hand out a place to write a file to; what is there at the end of the block appears under ``path`` as a whole.

    If the block raises, the place is cleared, and ``path`` stays as it was.

    Args:
        path: of the file; its folder exists.
        private: nobody but the owner may read the file.
    """
    place = unfinished(path)
    try:
        if private:
            os.close(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, PRIVATE))
        yield place
        if private:
            place.chmod(PRIVATE)
        _sync(place)
        os.replace(place, path)
        _sync(path.parent)
    except BaseException:
        place.unlink(missing_ok=True)
        raise


def write_whole(path: Path, content: str | bytes, *, private: bool = False) -> None:
    """Write a file so that a stop at any instant leaves the old content or the new.

    Args:
        path: of the file; its folder exists.
        content: text is written as UTF-8, and half of a surrogate pair, which UTF-8 does not have, as an escape.
        private: nobody but the owner may read the file.
    """
    data = content if isinstance(content, bytes) else content.encode("utf-8", errors="backslashreplace")
    with whole_file(path, private=private) as place:
        place.write_bytes(data)


def unfinished(path: Path) -> Path:
    """Return the name under which a file or folder is written before it gets its own."""
    return path.with_name(f".{path.name}{UNFINISHED}")


def clear_unfinished(folder: Path) -> None:
    """Remove what a stopped writer has left in a folder, and in the folders of it that are a run's own.

    Whoever calls this holds the folder's lock.
    """
    for path in [*folder.glob(f".*{UNFINISHED}"), *folder.glob(f"*/.*{UNFINISHED}"), *folder.glob(f".*{REPLACED}")]:
        _remove(path)


def set_aside(path: Path) -> Path:
    """Rename a damaged file or folder to ``damaged-<name>``, numbered where that is taken, and return the new path.

    Nothing is deleted: what can be saved of it is for its owner to say.
    """
    place, number = path.with_name(f"damaged-{path.name}"), 1
    while place.exists():
        number += 1
        place = path.with_name(f"damaged-{path.name}-{number}")
    os.rename(path, place)
    _sync(path.parent)
    return place


def read_json(path: Path) -> dict[str, Any] | None:
    """Return the object in a JSON file; None if there is no such file, or no object in it."""
    try:
        content = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


# ---- Folders ----


def stage(folder: Path) -> Path:
    """Make an empty place in which the files of ``folder`` are written; :func:`seal` puts it where it belongs."""
    place = unfinished(folder)
    _remove(place)
    place.mkdir(parents=True)
    return place


def seal(place: Path, folder: Path, facts: dict[str, Any] | None = None) -> None:
    """Bring a staged folder to the disk, write its manifest, and rename it to ``folder``.

    Args:
        place: of :func:`stage`, filled.
        folder: its name from now on; a folder of that name is replaced.
        facts: what the manifest says beside the files.
    """
    files = {}
    for path in sorted(place.rglob("*")):
        if path.is_file():
            _sync(path)
            files[path.relative_to(place).as_posix()] = {"size": path.stat().st_size, "sha256": _sha256(path)}
    for path in place.rglob("*/"):
        _sync(path)
    write_whole(place / MANIFEST, json.dumps({**(facts or {}), "files": files}, indent=1) + "\n")
    former = folder.with_name(f".{folder.name}{REPLACED}")
    if folder.exists():
        _remove(former)
        os.rename(folder, former)
    os.rename(place, folder)
    _sync(folder.parent)
    _remove(former)


def manifest(folder: Path) -> dict[str, Any] | None:
    """Return what the manifest of a sealed folder says; None if there is none that can be read."""
    content = read_json(folder / MANIFEST)
    return content if content is not None and isinstance(content.get("files"), dict) else None


def damage(folder: Path, *, checksums: bool = True) -> str | None:
    """Say what of a sealed folder is not as it was written; None if all of it is.

    Args:
        folder: to check against its manifest. Files that the manifest does not name play no part.
        checksums: read every byte; else sizes only.

    Raises:
        OSError: a file is there and cannot be read.
    """
    said = manifest(folder)
    if said is None:
        return f"it has no readable {MANIFEST}, which is written last"
    for name, entry in said["files"].items():
        path = folder / name
        if not path.is_file():
            return f"{name} is missing"
        if path.stat().st_size != entry["size"]:
            return f"{name} has {path.stat().st_size} bytes, not {entry['size']}"
        if checksums and _sha256(path) != entry["sha256"]:
            return f"{name} holds other bytes than were written"
    return None


# ---- What the disk says ----


def storage_fault(error: BaseException, folder: Path) -> str | None:
    """Return what the operating system said of a disk that is full, broken, read-only or out of quota.

    torch and safetensors write files outside Python, and report in ways of their own.

    Args:
        error: whatever was raised; causes count too.
        folder: that was written to. An error of any kind at a path in it is the disk's.

    Returns:
        One line; None for an error of another kind.
    """
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError):
            named = isinstance(seen.filename, str | Path)
            if seen.errno in _DISK or (named and Path(seen.filename).is_relative_to(folder)):
                return f"{seen.strerror or seen}{f' ({seen.filename})' if named else ''}"
        elif found := _RUST.search(str(seen)):
            return os.strerror(int(found[1]))
        elif isinstance(seen, RuntimeError) and _TORCH.search(str(seen)):
            return "torch could not write a file; is the disk full?"
        seen = seen.__cause__ or seen.__context__
    return None


def _sync(path: Path) -> None:
    """Bring a file's content, or a folder's entries, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
