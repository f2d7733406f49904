"""One writer a folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from concord.core.errors import RunFolderError
from concord.core.lock import LOCK, Holder, check_unlocked, locked

HOLD = """
import sys, time
from pathlib import Path
from concord.core.lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def put(folder: Path, **changes: Any) -> None:
    mine = Holder.this_process()
    (folder / LOCK).write_text(json.dumps({**mine.__dict__, **changes}))


def assert_free(folder: Path) -> None:
    check_unlocked(folder)
    with locked(folder):
        assert json.loads((folder / LOCK).read_text())["pid"] == os.getpid()
    assert list(folder.iterdir()) == []


def test_a_second_writer_is_refused_and_a_dead_one_is_followed(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        said = rf"is in use by process {process.pid} on this host since .*; wait for it to end, or set another out"
        with pytest.raises(RunFolderError, match=said):
            check_unlocked(tmp_path)
        with pytest.raises(RunFolderError, match=said), locked(tmp_path):
            pass
        assert (tmp_path / LOCK).stat().st_mode & 0o777 == 0o600
    finally:
        process.kill()
        process.communicate()
    assert (tmp_path / LOCK).exists()
    assert_free(tmp_path)


def test_a_process_that_has_ended_and_waits_for_its_parent_holds_nothing(tmp_path: Path) -> None:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)  # it is a zombie now
    put(tmp_path, pid=child)
    try:
        assert_free(tmp_path)
    finally:
        os.waitpid(child, 0)


def test_a_number_that_belongs_to_another_process_by_now_is_stale(tmp_path: Path) -> None:
    put(tmp_path, pid=os.getppid(), started="another boot:1")
    assert_free(tmp_path)


def test_of_another_host_nothing_is_assumed(tmp_path: Path) -> None:
    put(tmp_path, host="node7", pid=999_999_999)
    said = rf"process 999999999 on host node7 since .* cannot be asked.*If that process has ended, delete .*{LOCK}"
    with pytest.raises(RunFolderError, match=said):
        check_unlocked(tmp_path)
    with pytest.raises(RunFolderError, match=said), locked(tmp_path):
        pass
    (tmp_path / LOCK).unlink()
    assert_free(tmp_path)


@pytest.mark.parametrize("content", ["", "{", "{}", '{"pid": "x", "host": "h", "started": "s", "since": "t"}'])
def test_a_lock_that_names_nobody_is_stale(tmp_path: Path, content: str) -> None:
    (tmp_path / LOCK).write_text(content)
    assert_free(tmp_path)


def test_the_same_process_does_not_hold_it_twice(tmp_path: Path) -> None:
    with locked(tmp_path):
        check_unlocked(tmp_path)  # its own
        with pytest.raises(RunFolderError, match=f"process {os.getpid()} on this host"), locked(tmp_path):
            pass


def test_it_is_given_back_when_the_block_raises(tmp_path: Path) -> None:
    with pytest.raises(KeyError), locked(tmp_path):
        raise KeyError
    assert_free(tmp_path)


def test_of_many_that_take_over_a_stale_lock_one_gets_it(tmp_path: Path) -> None:
    put(tmp_path, started="another boot:1")
    got, refused = [], []
    start, end = threading.Barrier(8), threading.Barrier(8)

    def take(number: int) -> None:
        start.wait()
        try:
            with locked(tmp_path):
                got.append(number)
                end.wait()
        except RunFolderError:
            refused.append(number)
            end.wait()

    threads = [threading.Thread(target=take, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 1
    assert len(refused) == 7


def test_a_file_system_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    with locked(tmp_path), pytest.raises(RunFolderError), locked(tmp_path):
        pass
    assert_free(tmp_path)
