"""What went wrong in reward functions: said once, with its place, counted, and kept."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from concord.rewards import Limits, NamedReward, RewardBatch, RewardSet, find, load
from concord.rewards.source import Source

CODE = """
def quota(completions, **kwargs):
    raise RuntimeError("quota \\x1b[31mexceeded")


def changing(completions, **kwargs):
    if "KeyError" in completions:
        raise KeyError("k")
    return [float("nan")] * len(completions)
"""
BATCH = RewardBatch(["p"] * 2, ["a", "b"])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "r.py"
    path.write_text(CODE)
    return path


def rewards(path: str, lines: list[str], limits: Limits = Limits(), **settings: Any) -> RewardSet:  # noqa: B008 frozen
    settings = {"on_error": "abstain", **settings}
    return RewardSet([NamedReward("r", Source(find(path), path, limits=limits), **settings)], say=lines.append)


@pytest.mark.parametrize("limits", [Limits(), Limits(timeout=20.0)], ids=["inline", "pool"])
def test_the_first_is_said_with_its_place_and_the_rest_counted(file: Path, limits: Limits) -> None:
    lines: list[str] = []
    asked = rewards(f"{file}:quota", lines, limits)
    for step in range(3):
        asked.score(BATCH, step)
    assert lines == [
        f"reward 'r' failed at step 0: RuntimeError: quota \\x1b[31mexceeded ({file}:3 in quota); "
        "such scores count as none (on_error: abstain), and the next are counted only"
    ]
    asked.close()
    assert lines[1:] == ["reward 'r': 6 of 6 scores were lost: 6 failed (RuntimeError)"]
    asked.close()
    assert len(lines) == 2


def test_another_kind_is_said_too_and_kept_with_its_text(file: Path, tmp_path: Path) -> None:
    lines: list[str] = []
    kept = tmp_path / "failures.jsonl"
    asked = rewards(f"{file}:changing", lines, on_error="zero")
    asked.score(BATCH, 4)
    asked.failures.keep(kept)
    asked.score(RewardBatch(["p"], ["KeyError"]), 5)
    asked.score(BATCH, 6)
    asked.close()
    assert [line.partition(":")[0] for line in lines[:2]] == [
        "reward 'r' invalid at step 4",
        "reward 'r' failed at step 5",
    ]
    assert "such scores count 0 (on_error: zero)" in lines[0]
    assert lines[2] == "reward 'r': 5 of 5 scores were lost: 4 invalid, 1 failed (KeyError)"
    first, second, counts = map(json.loads, kept.read_text().splitlines())
    assert (first["kind"], first["step"], first["place"]) == ("invalid", 4, f"{file}:6 in changing")
    assert (second["kind"], second["place"]) == ("failed (KeyError)", f"{file}:8 in changing")
    assert "KeyError: 'k'" in second["traceback"]
    assert counts == {"reward": "r", "lost": {"invalid": 4, "failed (KeyError)": 1}, "asked": 5}
    assert kept.stat().st_mode & 0o777 == 0o600


def test_where_a_failure_stops_the_run_the_error_says_it(file: Path) -> None:
    lines: list[str] = []
    asked = rewards(f"{file}:quota", lines, on_error="raise")
    with pytest.raises(Exception, match=rf"quota \\x1b\[31mexceeded \({file}:3 in quota\)"):
        asked.counted(BATCH)
    assert lines == []


def test_without_failures_nothing_is_said_or_kept(tmp_path: Path) -> None:
    lines: list[str] = []
    asked = RewardSet(
        [load("length", "concord.rewards.builtin:length_range", options={"unit": "words", "high": 9})], lines.append
    )
    asked.failures.keep(tmp_path / "none.jsonl")
    asked.score(BATCH)
    asked.close()
    assert lines == []
    assert not (tmp_path / "none.jsonl").exists()


def test_kinds_without_end_are_bounded() -> None:
    lines: list[str] = []
    number = iter(range(100))

    def always_new(completions: list[str], **_: Any) -> list[float]:
        raise type(f"Error{next(number)}", (Exception,), {})("x" * 10_000)

    asked = RewardSet([NamedReward("r", always_new, on_error="abstain")], lines.append)
    for _ in range(60):
        asked.score(BATCH)
    asked.close()
    assert len(lines) == 22  # 20 kinds, the others, the counts
    assert max(map(len, lines[:-1])) < 1000
    assert "80 other" in lines[-1]


@pytest.mark.skipif(os.name != "posix", reason="permissions")
def test_a_file_that_cannot_be_written_is_said_once(file: Path, tmp_path: Path) -> None:
    lines: list[str] = []
    asked = rewards(f"{file}:quota", lines)
    asked.failures.keep(tmp_path / "absent" / "failures.jsonl")
    asked.score(BATCH)
    asked.close()
    assert sum("failures of rewards cannot be kept: No such file" in line for line in lines) == 1


FORGES = """
import os, struct

KIND = {kind}


def forges(completions, **kwargs):
    body = {body!r}
    for descriptor in range(3, 64):
        try:
            os.write(descriptor, struct.pack("!BIQ", KIND, 0, len(body)) + body)
        except OSError:
            pass
    return [1.0] * len(completions)
"""


@pytest.mark.parametrize(("kind", "body"), [(5, b"nonsense"), (5, b"N."), (1, b"N."), (0, b""), (9, b"")])
def test_a_function_that_writes_on_the_workers_socket_gets_a_status(tmp_path: Path, kind: int, body: bytes) -> None:
    file = tmp_path / "forging.py"
    file.write_text(FORGES.format(kind=kind, body=body))
    lines: list[str] = []
    asked = rewards(f"{file}:forges", lines, Limits(timeout=20.0))
    assert asked.score(BATCH).statuses["r"] == ["failed"] * 2
    assert asked.counted(BATCH)["r"] == [None, None]
    asked.close()
    assert len(lines) == 2
