"""Running programs that a model wrote: contained, not sandboxed.

A program is run by a Python process of its own (:mod:`concord.rewards.builtin.launcher`) which is started for one
completion and ends with it.

Always (Linux and macOS):
    time         all runs of a completion share one wall-clock limit; what a run has started is killed when it ends.
    limits       of each process: time on the processor, memory (not on macOS), size of a file, open files, no core
                 dumps; and the number of processes (on Linux). There is no limit to the number of files.
    environment  PATH, HOME, TMPDIR, LANG, where libraries are, Python's own settings; nothing else of the trainer's.
    files        works in a temporary folder, which is deleted (unless the process that scores is itself killed). Files
                 elsewhere it can read and write as its user can.
    streams      standard input is a test's or empty; output goes to a file of limited size, errors go nowhere.
On Linux, where the system permits it (it often does not inside a container):
    namespaces   no network, not even the loopback; it sees and can signal no process but its own. All it has started,
                 sessions and daemons too, ends with it.
    user         if the trainer is root: runs as a user that owns nothing, so that it can write only where anyone can.
                 It can read root's files only if Python itself is installed where only root can read.

What is permitted is tried out once in each process (:func:`containment`), and a warning is logged where programs can
reach the network. Without namespaces a program that means harm can do what its user can: it may send your files
away, or kill the trainer. A container without secrets or network is the place for code you have reason to fear.
"""

from __future__ import annotations

import contextlib
import functools
import json
import logging
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from concord.core.errors import ConfigError, RewardError

LAUNCHER = Path(__file__).with_name("launcher.py")

GRACE = 20.0
"""Seconds that a launcher may take to start and to clean up."""

FIRST_USER = 2_000_000_000
"""Where user ids begin that nobody has; one is drawn for each completion, so that their processes count apart."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Containment:
    """What contains programs here, beside what always does.

    Attributes:
        namespaces: they have no network and see no processes but their own.
        user: they run as a user of their own; False also where the trainer is not root.
    """

    namespaces: bool
    user: bool


@functools.cache
def containment() -> Containment:
    """The most that the system permits, found by trying.

    Raises:
        ConfigError: not Linux or macOS.
        RewardError: not even the least works; says why.
    """
    if os.name != "posix":
        raise ConfigError("running programs needs Linux or macOS; use Windows' subsystem for Linux")
    users = (True, False) if os.geteuid() == 0 and sys.platform == "linux" else (False,)
    spaces = (True, False) if sys.platform == "linux" else (False,)
    reason = ""
    for level in [Containment(namespaces, user) for namespaces in spaces for user in users]:
        try:
            works = run("x = 1", [{"test": "assert x == 1"}], timeout=GRACE, memory=2**30, level=level)
        except (RewardError, OSError) as error:
            reason = str(error)
            continue
        if works == [True]:
            if not level.namespaces:
                _log.warning("programs that a model wrote can reach the network: this system permits no namespaces")
            return level
        reason = reason or "a program that does nothing failed"
    raise RewardError(f"no program can be run here: {reason}")


def run(
    program: str, runs: Sequence[Mapping[str, str]], *, timeout: float, memory: int, level: Containment
) -> list[Any]:
    """Run a program once for each of ``runs``, in order, in a process of its own each.

    Args:
        program: the text of a Python program.
        runs: ``{"test": ...}`` runs the program as a module and then the test in its namespace; ``{"input": ...}``
            runs it as a script with that on its standard input.
        timeout: seconds for all runs together.
        memory: bytes of address space of a process.
        level: see :func:`containment`.

    Returns:
        For each test whether it ran to its end; for each input what the program printed, or None if it did not end
        with status 0 or printed more than 1 MiB. Runs that time did not allow count as failed.

    Raises:
        RewardError: the program could not be run, by no fault of its own.
    """
    user = FIRST_USER + secrets.randbelow(10**8) if level.user else None
    order = {
        "program": program,
        "runs": list(runs),
        "timeout": timeout,
        "memory": memory,
        "namespaces": level.namespaces,
        "user": user,
        "parent": os.getpid(),
    }
    folder = tempfile.mkdtemp(prefix="concord-")
    try:
        if user is not None:
            os.chown(folder, user, user)
        status, reply, errors = _launch(json.dumps(order).encode(), folder, timeout + GRACE)
    finally:
        _remove(folder)
    if status > 0:
        raise RewardError(f"the launcher of programs failed: {_last_line(errors)}")
    # Without namespaces a program may kill or hold up the launcher. That passes no test.
    return json.loads(reply) if status == 0 else [None] * len(runs)


def _launch(order: bytes, folder: str, timeout: float) -> tuple[int, bytes, bytes]:
    """The launcher's status, below 0 if it was killed, and what it wrote to its output and its error stream."""
    with subprocess.Popen(
        # Not -I, with which Python would draw a seed for its hashes: a set of strings would have another order in each
        # run. -P, -s and an environment with nothing else of Python's in it come to the same.
        [sys.executable, "-P", "-s", "-B", LAUNCHER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=folder,
        env=_environment(folder),
        start_new_session=True,
    ) as process:
        try:
            reply, errors = process.communicate(order, timeout)
        except subprocess.TimeoutExpired:
            reply = errors = b""
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    return process.returncode, reply, errors


def _environment(folder: str) -> dict[str, str]:
    environment = {
        "PATH": os.defpath, "HOME": folder, "TMPDIR": folder, "LANG": "C.UTF-8", "PYTHONUTF8": "1",
        "PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1",
    }  # fmt: skip
    for name in ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"):  # some Pythons do not start without
        if name in os.environ:
            environment[name] = os.environ[name]
    return environment


def _remove(folder: str) -> None:
    with contextlib.suppress(RecursionError):  # folders within folders within folders
        shutil.rmtree(folder, ignore_errors=True)
    if os.path.exists(folder):
        subprocess.run(["chmod", "-R", "u+rwx", folder], stderr=subprocess.DEVNULL, check=False)
        subprocess.run(["rm", "-rf", folder], stderr=subprocess.DEVNULL, check=False)


def _last_line(text: bytes) -> str:
    lines = text.decode("utf-8", "replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"
