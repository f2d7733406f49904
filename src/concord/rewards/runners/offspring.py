"""The processes that a worker has started, wherever they have gone: into other groups and sessions, or to init.

A worker's process group is killed with one signal; what has a session of its own has left the group. Such processes are
known by a mark in the environment, which they inherit, or by their parents. Only Linux tells; elsewhere there are none.
One that has dropped the mark and outlived its parents is not found.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
from collections.abc import Iterator

MARK = "CONCORD_WORKER"
"""The variable of the environment that holds a worker's mark."""

ROUNDS = 20
"""Looks for processes at most: each may find what was started during the one before."""


def new_mark() -> str:
    """Return a mark that no other worker has."""
    return secrets.token_hex(16)


def kill_offspring(worker: int, mark: str) -> None:
    """Kill all that the process ``worker`` has started, and not the process itself."""
    for _ in range(ROUNDS):
        found = set(_offspring(worker, mark.encode()))
        for pid in found:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        if not found:
            return


def _offspring(worker: int, mark: bytes) -> Iterator[int]:
    parents: dict[int, int] = {}
    for pid in _pids():
        with contextlib.suppress(OSError, ValueError, IndexError):
            with open(f"/proc/{pid}/stat", "rb") as file:
                state, parent = file.read().rpartition(b")")[2].split()[:2]
            if state not in (b"Z", b"X"):
                parents[pid] = int(parent)
    for pid in parents:
        if pid not in (worker, os.getpid()) and (_descends(pid, worker, parents) or _marked(pid, mark)):
            yield pid


def _pids() -> list[int]:
    try:
        return [int(name) for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        return []


def _descends(pid: int, worker: int, parents: dict[int, int]) -> bool:
    seen = set()
    while pid in parents and pid not in seen:
        seen.add(pid)
        pid = parents[pid]
        if pid == worker:
            return True
    return False


def _marked(pid: int, mark: bytes) -> bool:
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return f"{MARK}=".encode() + mark in file.read().split(b"\0")
    except OSError:
        return False
