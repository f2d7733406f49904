"""Whether processes are there."""

from __future__ import annotations

import os
import time
from pathlib import Path


def gone(*pids: int, within: float = 20.0) -> bool:
    """Whether all of these processes end within so many seconds; one that only waits to be reaped has ended."""
    deadline = time.monotonic() + within
    while any(map(_lives, pids)):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def wait_for(file: Path, words: int = 2) -> None:
    """Until there are so many words in a file."""
    while not file.exists() or len(file.read_text().split()) < words:
        time.sleep(0.02)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        stat = Path(f"/proc/{pid}/stat").read_text()
        threads = len(list(Path(f"/proc/{pid}/task").iterdir()))
    except ProcessLookupError:
        return False
    except FileNotFoundError:  # no /proc on this system, or it has ended just now
        return not Path("/proc/self").exists()
    # While other threads are still ending, its parent cannot reap it.
    return stat.rpartition(")")[2].split()[0] != "Z" or threads > 1
