"""Answers on disk: whole or not there."""

from __future__ import annotations

import json
import logging
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from concord.core.errors import ConfigError
from concord.rewards.judging import AnswerCache
from concord.rewards.judging.answer_cache import LARGEST, default_folder

ANSWER = {"text": "7 \ud83d é", "fault": None}


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_an_answer_is_found_by_all_that_was_asked(tmp_path: Path) -> None:
    cache = AnswerCache(tmp_path / "a" / "b")
    key = cache.key(model="m", messages=[{"content": "\ud83d"}], temperature=0)
    cache.put(key, ANSWER)
    assert AnswerCache(tmp_path / "a" / "b").get(key) == ANSWER
    assert cache.get(cache.key(model="m", messages=[{"content": "?"}], temperature=0)) is None
    assert cache.get(cache.key(model="m", messages=[{"content": "\ud83d"}], temperature=1)) is None
    (path,) = files(tmp_path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "damage",
    [
        lambda whole: b"",
        lambda whole: whole[: len(whole) // 2],
        lambda whole: whole.replace(b"7", b"9"),
        lambda whole: b"[]",
        lambda whole: b"null",
        lambda whole: json.dumps({"answer": 7, "sha256": ""}).encode(),
        lambda whole: b"\xff\xfe",
        lambda whole: b"[" * 100_000,
        lambda whole: whole + b" " * LARGEST,
    ],
    ids=["empty", "half", "changed", "list", "null", "number", "not text", "deep", "large"],
)
def test_a_damaged_entry_is_deleted(tmp_path: Path, damage: object, caplog: pytest.LogCaptureFixture) -> None:
    cache = AnswerCache(tmp_path)
    cache.put("ab12", ANSWER)
    (path,) = files(tmp_path)
    path.write_bytes(damage(path.read_bytes()))  # type: ignore[operator]
    with caplog.at_level(logging.WARNING):
        assert cache.get("ab12") is None
    assert (cache.damaged, files(tmp_path)) == (1, [])
    assert "ab12.json is damaged and was deleted" in caplog.text
    cache.put("ab12", ANSWER)
    assert cache.get("ab12") == ANSWER


def test_many_may_write_the_same_entry(tmp_path: Path) -> None:
    caches = [AnswerCache(tmp_path) for _ in range(4)]
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda i: caches[i % 4].put("ab12", {"text": str(i) * 1000}), range(200)))
        found = list(threads.map(lambda i: caches[i % 4].get("ab12"), range(50)))
    assert all(len(set(answer["text"])) <= 3 for answer in found if answer)
    assert len(files(tmp_path)) == 1
    assert [cache.damaged for cache in caches] == [0] * 4


def test_the_oldest_are_forgotten_when_it_is_opened(tmp_path: Path) -> None:
    cache = AnswerCache(tmp_path)
    for age, key in enumerate(("aa1", "bb2", "cc3")):
        cache.put(key, ANSWER)
        os.utime(files(tmp_path / key[:2])[0], (1000 - age, 1000 - age))
    kept = AnswerCache(tmp_path, most=2)
    assert [kept.get(key) is not None for key in ("aa1", "bb2", "cc3")] == [True, True, False]


def test_a_disk_that_takes_nothing_is_said_once_and_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    cache = AnswerCache(tmp_path)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with caplog.at_level(logging.WARNING):
        cache.put("ab12", ANSWER)
        cache.put("cd34", ANSWER)
    assert caplog.text.count("No space left on device") == 1
    assert files(tmp_path) == []


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"cache .*file/below cannot be used: Not a directory; name another folder"):
        AnswerCache(tmp_path / "file" / "below")


def test_it_lies_in_the_users_cache_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_folder() == tmp_path / "concord" / "judge"
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert default_folder() == tmp_path / "home" / ".cache" / "concord" / "judge"


def test_an_answer_beyond_all_measure_is_not_kept(tmp_path: Path) -> None:
    cache = AnswerCache(tmp_path)
    cache.put("ab12", {"text": "7" * LARGEST})
    assert files(tmp_path) == []
