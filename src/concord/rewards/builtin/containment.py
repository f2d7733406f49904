"""Running programs that a model wrote: contained, not sandboxed.

A program is run by a Python process of its own (:mod:`concord.rewards.builtin.launcher`) which is started for one
completion and ends with it.

Always (Linux and macOS):
    time         all runs of a completion share one wall-clock limit; what a run has started is killed when it ends.
    limits       of each process: time on the processor, memory (not on macOS), size of a file, open files, no core
                 dumps; and the number of processes (on Linux).
    environment  PATH, HOME, TMPDIR, LANG, where libraries are, Python's own settings; nothing else of the trainer's.
    files        works in a temporary folder, which is deleted (unless the process that scores is itself killed). Files
                 elsewhere it can read and write as its user can. In namespaces the folder is in memory, with limits to
                 its size and its entries, and nothing is left to delete; else there is no limit to the number of files.
    streams      standard input is a test's or empty; output goes to a file of limited size, errors go nowhere.
On Linux, where the system permits it (it often does not inside a container):
    namespaces   no network, not even the loopback; it sees and can signal no process but its own, also in /proc, which
                 is a new one (or empty, where the system permits no new one). All it has started, sessions and daemons
                 too, ends with it.
    user         if the trainer is root: runs as a user that owns nothing, so that it can write only where anyone can.
                 It can read root's files only if Python itself is installed where only root can read.

What is permitted is tried out once in each process (:func:`containment`), and a warning is logged where programs can
reach the network. Without namespaces a program that means harm can do what its user can: it may send your files
away, or kill the trainer. A container without secrets or network is the place for code you have reason to fear; an
outer sandbox is one that you name (:class:`Sandbox`), and the launcher is started in it.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
import logging
import os
import re
import secrets
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
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


PLACES = ("command", "launcher", "folder")
"""What a sandbox's template may name in braces."""


@dataclass(frozen=True)
class Sandbox:
    """A command that starts the launcher inside something stronger: bubblewrap, a container, another machine.

    Its template is split into words as a shell does, and run without a shell. In it stand

        {command}    the whole command of the launcher, of several words, alone as a word of the template; or
        {launcher}   the path of the launcher's script, of the standard library alone, for a Python of the sandbox's own
        {folder}     the launcher's working folder, made for one completion

    The command must hand on standard input and output, run as long as the launcher does, and end with its status.

    Raises:
        ConfigError: no text, quotes that do not close, neither {command} nor {launcher}, an unknown place, a program
            that is not there.

    Example:
        >>> Sandbox("nice -n 10 {command}").words(["python", "launcher.py"], "/tmp/folder")
        ['nice', '-n', '10', 'python', 'launcher.py']
    """

    template: str

    def __post_init__(self) -> None:
        if not isinstance(self.template, str):
            raise ConfigError(f"sandbox must be a command such as 'nice {{command}}', got {self.template!r}")
        try:
            words = shlex.split(self.template)
        except ValueError as error:
            raise ConfigError(f"sandbox {self.template!r}: {error}") from error
        named = re.findall(r"\{(\w*)\}", self.template)
        if unknown := [name for name in named if name not in PLACES]:
            raise ConfigError(f"sandbox {self.template!r}: {{{unknown[0]}}} is none of {', '.join(PLACES)}")
        if "{command}" not in words and "launcher" not in named:
            raise ConfigError(f"sandbox {self.template!r}: {{command}} must stand in it, as a word, or {{launcher}}")
        if shutil.which(words[0]) is None:
            raise ConfigError(f"sandbox {self.template!r}: there is no program {words[0]!r}")

    def words(self, command: Sequence[str], folder: str) -> list[str]:
        """The words of the command that is run in the sandbox's place."""
        found: list[str] = []
        for word in shlex.split(self.template):
            if word == "{command}":
                found += command
            else:
                found.append(word.replace("{launcher}", str(LAUNCHER)).replace("{folder}", folder))
        return found


@functools.cache
def containment(sandbox: Sandbox | None = None) -> Containment:
    """The most that the system permits, found by trying; in the outer sandbox, if one is named.

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
            works = run("x = 1", [{"test": "assert x == 1"}], timeout=GRACE, memory=2**30, level=level, sandbox=sandbox)
        except (RewardError, OSError) as error:
            reason = str(error)
            continue
        if works == [True]:
            if not level.namespaces and sandbox is None:
                _log.warning("programs that a model wrote can reach the network: this system permits no namespaces")
            return level
        reason = reason or "a program that does nothing failed"
    raise RewardError(f"no program can be run here: {reason}")


def run(
    program: str,
    runs: Sequence[Mapping[str, str]],
    *,
    timeout: float,
    memory: int,
    level: Containment,
    sandbox: Sandbox | None = None,
) -> list[Any]:
    """Run a program once for each of ``runs``, in order, in a process of its own each.

    Args:
        program: the text of a Python program.
        runs: ``{"test": ...}`` runs the program as a module and then the test in its namespace; ``{"input": ...}``
            runs it as a script with that on its standard input.
        timeout: seconds for all runs together.
        memory: bytes of address space of a process.
        level: see :func:`containment`.
        sandbox: in which the launcher is started; None = none.

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
        "parent": os.getpid() if sandbox is None else None,
    }
    folder = tempfile.mkdtemp(prefix="concord-")
    try:
        if user is not None:
            os.chown(folder, user, user)
        status, reply, errors = _launch(json.dumps(order).encode(), folder, timeout + GRACE, sandbox)
    finally:
        _remove(folder)
    if status > 0:
        raise RewardError(f"the launcher of programs failed: {_last_line(errors)}")
    # Without namespaces a program may kill or hold up the launcher. That passes no test.
    return json.loads(reply) if status == 0 else [None] * len(runs)


def _launch(order: bytes, folder: str, timeout: float, sandbox: Sandbox | None) -> tuple[int, bytes, bytes]:
    """The launcher's status, below 0 if it was killed, and what it wrote to its output and its error stream."""
    # Not -I, with which Python would draw a seed for its hashes: a set of strings would have another order in each
    # run. -P, -s and an environment with nothing else of Python's in it come to the same.
    command = [sys.executable, "-P", "-s", "-B", str(LAUNCHER)]
    with subprocess.Popen(
        command if sandbox is None else sandbox.words(command, folder),
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
    """Delete a folder and all below it, however deep: the time is that of its entries, and no path grows long.

    What lies two levels down is moved up, so that the walk never leaves the first level.
    """
    with contextlib.suppress(OSError):
        top = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            moved = itertools.count()
            while names := os.listdir(top):
                if not sum(_take_away(top, name, moved) for name in names):
                    break  # what is left cannot be removed by this user
        finally:
            os.close(top)
        os.rmdir(folder)


def _take_away(top: int, name: str, moved: Iterator[int]) -> bool:
    """Remove one entry of the folder ``top``, after the entries of a folder have gone or come up; False if it stays."""
    with contextlib.suppress(OSError):
        try:
            os.unlink(name, dir_fd=top)
            return True
        except (IsADirectoryError, PermissionError):  # macOS says the latter of a folder
            pass
        os.chmod(name, 0o700, dir_fd=top)
        inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=top)
        try:
            for entry in os.listdir(inner):
                try:
                    os.unlink(entry, dir_fd=inner)
                except OSError:
                    os.chmod(entry, 0o700, dir_fd=inner)  # to move a folder is to write in it
                    os.rename(entry, f"concord-{next(moved)}", src_dir_fd=inner, dst_dir_fd=top)
        finally:
            os.close(inner)
        os.rmdir(name, dir_fd=top)
        return True
    return False


def _last_line(text: bytes) -> str:
    lines = text.decode("utf-8", "replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"
