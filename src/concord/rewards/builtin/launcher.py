"""The process in which programs that a model wrote are run: contains itself, then runs one after the other.

A script of the standard library alone, started by :mod:`concord.rewards.builtin.containment`, which says what is
contained and how. It reads an order (JSON) and writes what came of each run (JSON).

    launcher         gives up rights, opens new namespaces
    └── supervisor   keeps time, ends what a run leaves behind; the launcher itself without new namespaces
        └── run      under limits: the program, then its test; one process for each run
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import importlib.machinery
import json
import math
import os
import resource
import signal
import sys
import time
import types
from collections.abc import Callable
from typing import Any

PROCESSES, FILES, FILE_SIZE, OUTPUT = 64, 256, 16 * 2**20, 2**20
"""Most processes and threads, open files, bytes in a file, bytes of output that are read."""

FOLDER, ENTRIES = 256 * 2**20, 2**16
"""Bytes, and files and folders, that all of a completion's programs may leave in the working folder, in namespaces."""

PDEATHSIG, DUMPABLE, KEEPCAPS, SUBREAPER, NO_NEW_PRIVS = 1, 4, 8, 36, 38  # of Linux's prctl
NEWNS, NEWIPC, NEWUSER, NEWPID, NEWNET = 0x00020000, 0x08000000, 0x10000000, 0x20000000, 0x40000000  # of its unshare
RDONLY, NOSUID, NODEV, NOEXEC, PRIVATE = 1, 2, 4, 8, 0x40000 | 0x4000  # of its mount; private with all below
DAC_READ_SEARCH = 1 << 2  # of its capabilities: read what permissions would forbid
CAPABILITY_VERSION = 0x20080522

CHILDREN = "/proc/thread-self/children"
LINUX = sys.platform == "linux"


def main() -> None:
    """Carry out the order on standard input."""
    with open(0, "rb", closefd=False) as file:
        order = json.load(file)
    readable = [path for path in sys.path if os.path.isdir(path)]
    if LINUX:
        system("prctl", PDEATHSIG, signal.SIGKILL)
        if order["parent"] is not None and os.getppid() != order["parent"]:  # gone before that was arranged
            return
    if order["namespaces"]:
        enter_namespaces()
        hide_processes()
        take_folder(order["user"])
    if order["user"]:
        become(order["user"], readable)
    if LINUX:
        settle(order)
    run = supervise(order, reply=os.dup(1))
    if run is not None:
        run()


def enter_namespaces() -> None:
    """Go on in a child that sees no process but its own, and no network; wait for it here."""
    uid, gid = os.geteuid(), os.getegid()
    # Root need not become root of a user namespace, from where it could not become another user.
    system("unshare", NEWNS | NEWPID | NEWNET | NEWIPC | (NEWUSER if uid else 0))
    if uid:
        for name, text in (("uid_map", f"{uid} {uid} 1"), ("setgroups", "deny"), ("gid_map", f"{gid} {gid} 1")):
            with open(f"/proc/self/{name}", "w") as file:
                file.write(text)
    child = os.fork()
    if child:
        system("prctl", PDEATHSIG, signal.SIGKILL)  # changing namespaces may have undone it
        _, status = os.waitpid(child, 0)
        os._exit(min(1, abs(os.waitstatus_to_exitcode(status))))


def hide_processes() -> None:
    """Put a /proc in place that shows the new namespace; where that is not permitted, an empty one."""
    system("mount", b"none", b"/", None, PRIVATE, None)
    try:
        system("mount", b"proc", b"/proc", b"proc", NOSUID | NODEV | NOEXEC, None)
    except OSError:  # a container that hides parts of its own /proc
        system("mount", b"none", b"/proc", b"tmpfs", NOSUID | NODEV | NOEXEC | RDONLY, b"size=4k")


def take_folder(user: int | None) -> None:
    """Work in a folder in memory: it has limits, and is gone with the namespaces, whatever lies in it."""
    here = os.getcwd()
    options = f"size={FOLDER},nr_inodes={ENTRIES},mode=700" + (f",uid={user},gid={user}" if user else "")
    system("mount", b"none", os.fsencode(here), b"tmpfs", NOSUID | NODEV, options.encode())
    os.chdir(here)


def become(user: int, readable: list[str]) -> None:
    """Cease to be root: a user who owns nothing, and may read all files only if Python's own are root's alone."""
    system("prctl", KEEPCAPS, 1)
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
    keep_capabilities(0 if all(os.access(path, os.R_OK | os.X_OK) for path in readable) else DAC_READ_SEARCH)


def settle(order: dict[str, Any]) -> None:
    """Let go of all further rights, and take in the processes that a run orphans."""
    if order["namespaces"] and not order["user"]:
        keep_capabilities(0)
    system("prctl", NO_NEW_PRIVS, 1)
    system("prctl", PDEATHSIG, signal.SIGKILL)  # changing users has undone it
    system("prctl", DUMPABLE, 0)  # the runs, of the same user, cannot look into this process
    if alone(order) or os.path.exists(CHILDREN):
        system("prctl", SUBREAPER, 1)


def supervise(order: dict[str, Any], reply: int) -> Callable[[], None] | None:
    """Make the runs one after the other and write what came of them; returns early, with the run, in its process."""
    deadline = time.monotonic() + order["timeout"]
    outcomes: list[Any] = []
    for number, run in enumerate(order["runs"]):
        if time.monotonic() >= deadline:
            outcomes.append(None)
            continue
        question, ask = os.pipe()
        stdin, stdout, answer = scratch(run.get("input", "")), scratch(""), scratch("")
        child = os.fork()
        if not child:
            return functools.partial(perform, order, number, [stdin, stdout, question, answer])
        nonce = os.urandom(16)
        os.write(ask, nonce)
        status = wait(child, deadline)
        end(child, order)
        if "input" in run:
            outcomes.append(output(stdout) if status == 0 else None)
        else:
            outcomes.append(os.pread(answer, 64, 0) == nonce)
        for descriptor in (question, ask, stdin, stdout, answer):
            os.close(descriptor)
    with open(reply, "w") as file:
        json.dump(outcomes, file)
    return None


def perform(order: dict[str, Any], number: int, descriptors: list[int]) -> None:
    """The program as a script that reads ``input``; or as a module, and then ``test`` as if it stood at its end."""
    run = order["runs"][number]
    os.setsid()
    os.mkdir(str(number))
    os.chdir(str(number))
    set_limits(order)
    stdin, stdout, question, answer = descriptors
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(stdin, 0)
    os.dup2(stdout if "input" in run else null, 1)
    os.dup2(null, 2)
    for descriptor in set(range(3, FILES)) - {question, answer}:
        with contextlib.suppress(OSError):
            os.close(descriptor)
    if LINUX:
        system("prctl", DUMPABLE, 1)
    name = "__main__" if "input" in run else "solution"
    sys.argv = [name]
    module = sys.modules[name] = types.ModuleType(name)
    read, write, leave = os.read, os.write, os._exit
    Text(name, order["program"]).exec_module(module)
    if "test" in run:
        # The nonce is read only now: without coming this far nothing can say that the test was passed.
        nonce = read(question, 16)
        Text(name, run["test"]).exec_module(module)
        write(answer, nonce)
        leave(0)


class Text(importlib.machinery.SourceFileLoader):
    """Runs a text in a module."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(name, f"<{name}>")
        self.text = text

    def get_code(self, fullname: str) -> types.CodeType:
        return compile(self.text, self.path, "exec", dont_inherit=True)


def set_limits(order: dict[str, Any]) -> None:
    """Limits of this process and of those that it starts, each on its own; none can be raised again."""
    seconds = math.ceil(order["timeout"]) + 1
    limits = {"CPU": seconds, "FSIZE": FILE_SIZE, "NOFILE": FILES, "CORE": 0}
    if LINUX:
        # Without a user or a namespace of its own a run shares the count with all that its user runs.
        others = 0 if alone(order) else tasks_of(os.getuid())
        limits |= {"AS": order["memory"], "NPROC": PROCESSES + others}
    for name, value in limits.items():
        kind = getattr(resource, f"RLIMIT_{name}")
        hard = resource.getrlimit(kind)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (value, value))


def wait(child: int, deadline: float) -> int | None:
    """The child's status; None if it has not ended by the deadline."""
    pause = 0.001
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return status
        if time.monotonic() >= deadline:
            return None
        time.sleep(pause)
        pause = min(2 * pause, 0.02)


def end(child: int, order: dict[str, Any]) -> None:
    """Kill all that the run has started, and wait for it."""
    assert not alone(order) or os.getpid() == 1 or os.getuid() == order["user"]  # -1 is all that we may kill
    while True:
        for process in [-1] if alone(order) else [child, -child, *children()]:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(process, signal.SIGKILL)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def alone(order: dict[str, Any]) -> bool:
    """Whether all processes that this one may kill are of the order's runs."""
    return bool(order["namespaces"] or order["user"])


def children() -> list[int]:
    """This process's, those it has taken in included; none where the system does not say."""
    try:
        with open(CHILDREN) as file:
            return [int(word) for word in file.read().split()]
    except OSError:
        return []


def tasks_of(user: int) -> int:
    """The number of processes and threads of a user."""
    count = 0
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                count += len(os.listdir(f"{entry.path}/task")) if entry.stat().st_uid == user else 0
    return count


def scratch(text: str) -> int:
    """A file without a name that holds ``text``, open at its start."""
    name = f"scratch-{os.urandom(8).hex()}"
    descriptor = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    os.unlink(name)
    with open(descriptor, "wb", closefd=False) as file:
        file.write(text.encode("utf-8", "surrogatepass"))
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def output(descriptor: int) -> str | None:
    """What was written to a file; None if it is more than is read."""
    found = os.pread(descriptor, OUTPUT + 1, 0)
    return found.decode("utf-8", "replace") if len(found) <= OUTPUT else None


def keep_capabilities(mask: int) -> None:
    """Give up all capabilities but those of ``mask``."""
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION, 0)
    system("capset", header, (ctypes.c_uint32 * 6)(mask, mask, 0, 0, 0, 0))


def system(name: str, *arguments: Any) -> None:
    """Call a function of the C library that Python does not offer."""
    library = ctypes.CDLL(None, use_errno=True)
    padding = [0] * (5 - len(arguments)) if name == "prctl" else []
    if getattr(library, name)(*arguments, *padding) != 0:
        raise OSError(f"{name}{arguments}: {os.strerror(ctypes.get_errno())}")


if __name__ == "__main__":
    main()
