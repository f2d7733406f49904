"""What a worker has started ends with it, also in a session of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from pathlib import Path

import pytest

from concord.core.status import FAILED, TIMED_OUT
from concord.rewards import Limits, NamedReward, RewardBatch, RewardSet, Source, find
from tests.rewards.runners.processes import gone, wait_for

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="/proc")

CODE = """
import os, subprocess, sys, time

HERE = os.path.dirname(__file__)
SLEEP = "import time; time.sleep(1000)"


def start(completions, **kwargs):
    own_session = subprocess.Popen([sys.executable, "-c", SLEEP], start_new_session=True)
    bare = subprocess.Popen([sys.executable, "-c", SLEEP], start_new_session=True, env={})
    daemon = os.fork()
    if not daemon:
        os.setsid()
        if os.fork():
            os._exit(0)
        with open(os.path.join(HERE, "pids"), "a") as file:
            file.write(f"daemon={os.getpid()} ")
        os.execv(sys.executable, [sys.executable, "-c", SLEEP])
    os.waitpid(daemon, 0)
    with open(os.path.join(HERE, "pids"), "a") as file:
        file.write(f"session={own_session.pid} bare={bare.pid} ")
    if "hang" in completions:
        time.sleep(1000)
    if "die" in completions:
        os._exit(3)
    return [1.0] * len(completions)
"""


@pytest.mark.parametrize(("text", "status"), [("end", "scored"), ("hang", TIMED_OUT), ("die", FAILED)])
def test_sessions_and_daemons_end_with_the_pool(tmp_path: Path, text: str, status: str) -> None:
    file = tmp_path / "r.py"
    file.write_text(CODE)
    path = f"{file}:start"
    limits = Limits(timeout=3.0 if text == "hang" else 60.0)
    rewards = RewardSet(
        [NamedReward("r", Source(find(path), path, limits=limits), on_error="abstain")], lambda line: None
    )
    assert rewards.score(RewardBatch(["p"], [text])).statuses["r"] == [status]
    wait_for(tmp_path / "pids", 3)
    rewards.close()
    pids = {
        name: int(pid) for name, _, pid in (word.partition("=") for word in (tmp_path / "pids").read_text().split())
    }
    try:
        assert gone(pids["daemon"], pids["session"])
        # After its worker's own end nobody knows whose it was: it has neither mark nor parent.
        assert text == "die" or gone(pids["bare"])
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pids["bare"], signal.SIGKILL)
