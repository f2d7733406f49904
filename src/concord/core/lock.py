"""One writer a folder: a lock that says who holds it, and that the holder's death frees."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from concord.core.durable import PRIVATE, read_json
from concord.core.errors import RunFolderError

LOCK = "run.lock"
"""In a folder that is being written to."""

_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS}
"""What a file system without hard links says."""


@dataclass(frozen=True)
class Holder:
    """The process that holds a lock.

    Attributes:
        pid, host: of the process.
        started: when the process was started, as its own machine tells it; a later process of the same number differs.
        since: when it took the lock, for people to read.
    """

    pid: int
    host: str
    started: str
    since: str

    @classmethod
    def this_process(cls) -> Holder:
        """Describe the process that asks."""
        now = datetime.now().astimezone().isoformat(timespec="seconds")
        return cls(os.getpid(), socket.gethostname(), _started(os.getpid()) or "", now)

    def elsewhere(self) -> bool:
        """Whether the process is, or was, on another machine, so that nobody here knows whether it lives."""
        return self.host != socket.gethostname()

    def is_this_process(self) -> bool:
        """Whether the process is the one that asks."""
        return not self.elsewhere() and self.pid == os.getpid() and not self.is_gone()

    def is_gone(self) -> bool:
        """Whether the process has ended, on this machine: its number is free, or belongs to another by now."""
        if self.elsewhere():
            return False
        started = _started(self.pid)
        return not _hidden(self.pid) if started is None else started != self.started


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a folder's lock for the length of a block; the folder exists.

    A lock whose process has ended is taken over. Of a process on another machine that cannot be known, and the
    message says what to do.

    Raises:
        RunFolderError: another process holds the lock, or this one already does.
    """
    path, mine = folder / LOCK, Holder.this_process()
    with _alone(folder):
        while not _placed(path, mine):
            holder = _read(path)
            if holder is not None and not holder.is_gone():
                raise _in_use(folder, holder)
            path.unlink(missing_ok=True)
    try:
        yield
    finally:
        if _read(path) == mine:
            path.unlink()


def check_unlocked(folder: Path) -> None:
    """Ask whether no other process holds the folder's lock, before anything expensive is done.

    Raises:
        RunFolderError: another process holds it.
    """
    holder = _read(folder / LOCK)
    if holder is not None and not holder.is_gone() and not holder.is_this_process():
        raise _in_use(folder, holder)


def _in_use(folder: Path, holder: Holder) -> RunFolderError:
    if holder.elsewhere():
        return RunFolderError(
            f"{folder} is in use by process {holder.pid} on host {holder.host} since {holder.since}, which cannot be "
            f"asked from here ({socket.gethostname()}). If that process has ended, delete {folder / LOCK}"
        )
    return RunFolderError(
        f"{folder} is in use by process {holder.pid} on this host since {holder.since}; wait for it to end, or set "
        "another out"
    )


def _placed(path: Path, holder: Holder) -> bool:
    """Put a lock there with all its content at once, unless there is one."""
    place = path.with_name(f".{path.name}.{uuid.uuid4().hex}.unfinished")
    descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE)
    try:
        with open(descriptor, "w", encoding="utf-8") as file:
            json.dump(asdict(holder), file)
        os.link(place, path)
    except (FileExistsError, FileNotFoundError):  # the latter: the holder has cleared the folder of what is unfinished
        return False
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        return _created(path, holder)
    finally:
        place.unlink(missing_ok=True)
    return True


def _created(path: Path, holder: Holder) -> bool:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE)
    except FileExistsError:
        return False
    with open(descriptor, "w", encoding="utf-8") as file:
        json.dump(asdict(holder), file)
    return True


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep others who want the lock waiting while a stale one is replaced, on file systems that can."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _read(path: Path) -> Holder | None:
    """Return the holder that a lock names; None if there is no lock, or one that nobody can have finished writing."""
    content = read_json(path)
    if content is None:
        return None
    try:
        return Holder(int(content["pid"]), str(content["host"]), str(content["started"]), str(content["since"]))
    except (KeyError, TypeError, ValueError):
        return None


def _started(pid: int) -> str | None:
    """Return when a process of this machine was started; None if there is none, or one that has ended."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return None if Path("/proc/self/stat").exists() else _listed(pid)
    state, *others = stat.rpartition(")")[2].split()  # the name before may hold blanks
    ended = state in "ZX" and len(list(Path(f"/proc/{pid}/task").glob("*"))) <= 1  # its threads end after it
    return None if ended else f"{boot}:{others[18]}"


def _hidden(pid: int) -> bool:
    """Whether a process is there that belongs to somebody else, and of which nothing can be read."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except OSError:
        return False
    return False


def _listed(pid: int) -> str | None:
    """Return the same where there is no /proc."""
    words = ["ps", "-o", "lstart=", "-p", str(pid)]
    found = subprocess.run(words, capture_output=True, text=True, check=False).stdout.strip()
    return found or None
