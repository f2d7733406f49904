"""What programs that mean harm can reach, and what they leave behind."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest

from concord.core.errors import ConfigError, RewardError
from concord.rewards.builtin import containment as module
from concord.rewards.builtin.containment import Containment, Sandbox, containment, run

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

BEST = containment()
LEAST = Containment(namespaces=False, user=False)
LEVELS = dict.fromkeys((BEST, Containment(False, BEST.user), LEAST))
"""The best of this machine and those below it, each once."""

apart = pytest.mark.skipif(not BEST.namespaces, reason="this system permits no namespaces")
somehow_apart = pytest.mark.skipif(BEST == LEAST, reason="programs run as the tests' own user here")


def ends_well(program: str, *, level: Containment = BEST, timeout: float = 60.0) -> bool:
    """Whether a program gets to its end."""
    (passed,) = run(program, [{"test": "pass"}], timeout=timeout, memory=2**30, level=level)
    return passed is True


def alive(marker: str) -> list[int]:
    """The processes with ``marker`` in their command."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if marker.encode() in entry.read_bytes():
                found.append(int(entry.parent.name))
    return found


@apart
def test_there_is_no_network() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        connect = f"import socket\nsocket.create_connection(('127.0.0.1', {port}), 5).close()"
        assert not ends_well(connect)
        assert ends_well(connect, level=Containment(False, BEST.user))  # so it is the namespace that keeps it in


def test_the_environment_is_not_the_trainers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "a secret")
    monkeypatch.setenv("PYTHONSTARTUP", "a file")
    program = (
        "import os\n"
        "assert not any('secret' in value for value in os.environ.values())\n"
        "assert os.environ['HOME'] == os.path.dirname(os.getcwd())\n"
        "assert [name for name in os.environ if 'PYTHON' in name] == ['PYTHONUTF8', 'PYTHONHASHSEED']\n"
    )
    assert ends_well(program)


@somehow_apart
def test_other_processes_cannot_be_read_or_signalled() -> None:
    secrets = f"open('/proc/{os.getpid()}/environ').read()"
    signals = f"import os\nos.kill({os.getpid()}, 0)"
    for program in (secrets, signals):
        assert not ends_well(program)
    assert not ends_well("import os\nopen(f'/proc/{os.getppid()}/mem').read()")


@pytest.mark.skipif(not BEST.user, reason="the tests do not run as root")
def test_files_of_roots_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("x")
    for action in (
        f"open('{tmp_path}/new', 'w')",
        f"open('{tmp_path}/mine', 'a')",
        f"__import__('os').remove('{tmp_path}/mine')",
    ):
        assert not ends_well(action)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


LEAVES_A_DAEMON = """
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.execvp("sleep", ["sleep", "{marker}"])
    os._exit(0)
os.wait()
{then}
"""


@pytest.mark.parametrize("then", ["pass", "while True: pass"])
@pytest.mark.parametrize("level", LEVELS, ids=str)
def test_what_a_program_started_ends_with_it(level: Containment, then: str) -> None:
    marker = f"7777.{time.time_ns()}"
    program = LEAVES_A_DAEMON.format(marker=marker, then=then)
    endless = then != "pass"
    assert ends_well(program, level=level, timeout=2 if endless else 60) is not endless
    assert alive(marker) == []


@somehow_apart
def test_a_fork_bomb_comes_to_its_limit() -> None:
    counts = (
        "import os, time\nn = 0\n"
        "try:\n    while n < 1000:\n        if os.fork() == 0:\n            time.sleep(600)\n        n += 1\n"
        "except BlockingIOError: pass\n"
        "assert 10 < n < 100, n"
    )
    assert ends_well(counts)
    bomb = "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass"
    assert not ends_well(bomb, timeout=1.5)
    assert ends_well("x = 1")


def test_threads_come_to_the_same_limit_and_a_few_are_free() -> None:
    threads = (
        "import threading\nend = threading.Event()\n"
        "made = [threading.Thread(target=end.wait, daemon=True) for _ in range({n})]\n"
        "[thread.start() for thread in made]\nend.set()"
    )
    assert ends_well(threads.format(n=8))
    if BEST != LEAST:
        assert not ends_well(threads.format(n=200))


@pytest.mark.parametrize("level", dict.fromkeys((BEST, LEAST)), ids=str)
def test_folders_are_deleted_whatever_is_in_them(level: Containment, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    def recorded(**options: Any) -> str:
        made.append(mkdtemp(**options))
        return made[-1]

    mkdtemp = tempfile.mkdtemp
    monkeypatch.setattr("tempfile.mkdtemp", recorded)
    program = (
        "import os\nos.mkdir('locked'); os.mkdir('locked/inside'); os.chmod('locked', 0)\n"
        "os.symlink('/', 'root')\n"
        "for _ in range(1100):\n    os.mkdir('d'); os.chdir('d')"
    )
    assert ends_well(program, level=level)
    assert len(made) == 1
    assert not os.path.exists(made[0])


@pytest.mark.parametrize("level", LEVELS, ids=str)
def test_a_launcher_that_is_killed_from_inside_passes_nothing(level: Containment) -> None:
    program = "import os, signal\ntry: os.kill(os.getppid(), signal.SIGKILL)\nexcept OSError: pass"
    (passed,) = run(program, [{"test": "assert False"}], timeout=60, memory=2**30, level=level)
    assert not passed


def test_programs_end_with_the_trainer() -> None:
    marker = f"7778.{time.time_ns()}"
    program = f"import subprocess\nsubprocess.run(['sleep', '{marker}'])"
    trainer = (
        "from concord.rewards.builtin import code_tests\n"
        f"code_tests(['```python\\n' + {program!r} + '\\n```'], [['pass']], timeout=600)"
    )
    process = subprocess.Popen([sys.executable, "-c", trainer])
    try:
        assert _comes(lambda: alive(marker) != [])
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert _comes(lambda: alive(marker) == [])
    finally:
        process.kill()


def _comes(condition: Any) -> bool:
    """Whether a condition comes true within a minute."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    return False


def test_the_best_that_works_is_found_once_and_its_lack_is_said(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tried: list[Containment] = []

    def denied(program: str, runs: Any, *, level: Containment, **_: Any) -> list[Any]:
        tried.append(level)
        if level.namespaces:
            raise RewardError("Operation not permitted")
        return [True]

    monkeypatch.setattr(module, "run", denied)
    containment.cache_clear()
    with caplog.at_level(logging.WARNING):
        assert containment() == containment() == Containment(False, os.geteuid() == 0)
    assert [level.namespaces for level in tried] == [True] * (len(tried) - 1) + [False]
    assert "can reach the network" in caplog.text
    containment.cache_clear()
    monkeypatch.setattr(module, "run", lambda *_, **__: [None])
    with pytest.raises(RewardError, match="no program can be run here: a program that does nothing failed"):
        containment()
    containment.cache_clear()


def test_a_launcher_that_fails_is_no_fault_of_the_program(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "launcher.py").write_text("raise SystemExit('no more processes')")
    monkeypatch.setattr(module, "LAUNCHER", tmp_path / "launcher.py")
    with pytest.raises(RewardError, match="the launcher of programs failed: no more processes"):
        ends_well("x = 1")


@pytest.mark.skipif(not BEST.namespaces, reason="the system permits no namespaces")
def test_proc_shows_the_namespace_and_not_the_host() -> None:
    program = "import os\nprint(*[name for name in os.listdir('/proc') if name.isdigit()])"
    (seen,) = run(program, [{"input": ""}], timeout=60, memory=2**30, level=BEST)
    assert {int(process) for process in seen.split()} <= {1, 2}
    secret = f"concord-secret-{os.getpid()}"
    with subprocess.Popen(["sleep", "600"], env={"SECRET": secret}) as holder:
        search = "import glob\nfor name in glob.glob('/proc/*/environ') + glob.glob('/proc/*/cmdline'):\n    "
        search += "try: print(open(name, 'rb').read())\n    except OSError: pass"
        (found,) = run(search, [{"input": ""}], timeout=60, memory=2**30, level=BEST)
        holder.kill()
    assert secret not in found


@pytest.mark.skipif(not BEST.namespaces, reason="the system permits no namespaces")
def test_the_working_folder_has_limits_and_leaves_nothing_to_delete(monkeypatch: pytest.MonkeyPatch) -> None:
    left: list[list[str]] = []
    remove = module._remove
    monkeypatch.setattr(module, "_remove", lambda folder: (left.append(os.listdir(folder)), remove(folder)))
    nested = "import os\nfor _ in range(20_000):\n    os.mkdir('d')\n    os.chdir('d')\nprint('made')"
    full = "import os\nfor n in range(100):\n    open(str(n), 'wb').write(bytes(2**23))"
    many = "for n in range(10**6):\n    open(str(n), 'w').close()"
    order = [{"input": ""}]
    assert run(nested, order, timeout=60, memory=2**30, level=BEST) == ["made\n"]
    assert run(full, order, timeout=60, memory=2**30, level=BEST) == [None]
    assert run(many, order, timeout=60, memory=2**30, level=BEST) == [None]
    assert left == [[], [], []]


def test_folders_within_folders_are_deleted_however_deep_and_closed(tmp_path: Path) -> None:
    folder, here = tmp_path / "deep", os.getcwd()
    folder.mkdir()
    (tmp_path / "outside").write_text("stays")
    os.chdir(folder)
    try:
        for depth in range(3_000):  # far beyond the longest path, and Python's depth of recursion
            os.mkdir("d")
            Path("f").touch()
            os.symlink(tmp_path / "outside", "link")
            os.chdir("d")
            if depth % 500 == 0:
                os.chmod("..", 0o500)
    finally:
        os.chdir(here)
    module._remove(str(folder))
    assert not folder.exists()
    assert (tmp_path / "outside").read_text() == "stays"


@pytest.mark.parametrize("template", ["env {command}", "nice -n 1 {command}", "python3 -P -s -B {launcher}"])
def test_an_outer_sandbox_runs_the_launcher(template: str) -> None:
    sandbox = Sandbox(template)
    level = containment(sandbox)
    assert run("print(1 + 1)", [{"input": ""}], timeout=60, memory=2**30, level=level, sandbox=sandbox) == ["2\n"]


def test_a_sandbox_sees_its_folder_and_its_end_is_no_pass(tmp_path: Path) -> None:
    script = tmp_path / "sandbox"
    script.write_text(f'#!/bin/sh\necho "$1" >> {tmp_path}/seen\nshift\nexec "$@"\n')
    script.chmod(0o755)
    sandbox = Sandbox(f"{script} {{folder}} {{command}}")
    assert run("x = 1", [{"test": "assert x"}], timeout=60, memory=2**30, level=BEST, sandbox=sandbox) == [True]
    assert "concord-" in (tmp_path / "seen").read_text()
    with pytest.raises(RewardError, match="no program can be run here"):
        containment(Sandbox("false {command}"))


@pytest.mark.parametrize(
    ("template", "says"),
    [
        ("env", "{command} must stand in it"),
        ("env x{command}", "as a word"),
        ("env {comand}", "{comand} is none of command, launcher, folder"),
        ("no-such-program {command}", "there is no program 'no-such-program'"),
        ("env '{command}", "No closing quotation"),
        ("", "must stand in it"),
        (3, "must be a command"),
    ],
)
def test_sandboxes_that_cannot_be(template: Any, says: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(says)):
        Sandbox(template)
