"""Files and folders that are whole or absent."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError

from concord.core.durable import (
    MANIFEST,
    clear_unfinished,
    damage,
    read_json,
    seal,
    set_aside,
    stage,
    storage_fault,
    unfinished,
    whole_file,
    write_whole,
)


def test_a_file_is_on_the_disk_before_it_has_its_name_and_its_folder_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[tuple[str, str]] = []
    sync, replace = os.fsync, os.replace

    def synced(descriptor: int) -> None:
        done.append(("fsync", Path(os.readlink(f"/proc/self/fd/{descriptor}")).name))
        sync(descriptor)

    def replaced(old: Path, new: Path) -> None:
        done.append(("rename", new.name))
        replace(old, new)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", replaced)
    write_whole(tmp_path / "a.json", "{}")
    assert done == [("fsync", ".a.json.unfinished"), ("rename", "a.json"), ("fsync", tmp_path.name)]


def test_a_write_that_fails_leaves_the_old_content_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a"
    write_whole(path, "old")

    def torn() -> None:
        with whole_file(path) as place:
            place.write_text("ne")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        torn()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_half_of_a_surrogate_pair_is_written_as_an_escape(tmp_path: Path) -> None:
    write_whole(tmp_path / "a", "x\ud800")
    assert (tmp_path / "a").read_text() == "x\\ud800"


def test_a_private_file_is_private_from_its_first_byte(tmp_path: Path) -> None:
    modes = []
    with whole_file(tmp_path / "a", private=True) as place:
        modes.append(place.stat().st_mode & 0o777)
        place.unlink()  # a library that makes the file itself
        place.write_text("key")
    modes.append((tmp_path / "a").stat().st_mode & 0o777)
    assert modes == [0o600, 0o600]


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    place = stage(folder)
    (place / "sub").mkdir()
    (place / "weights").write_bytes(b"12345678")
    (place / "sub" / "more").write_bytes(b"x")
    seal(place, folder, {"step": 3})
    return folder


def test_a_sealed_folder_is_whole(sealed: Path) -> None:
    assert damage(sealed) is None
    said = json.loads((sealed / MANIFEST).read_text())
    assert said["step"] == 3
    assert said["files"].keys() == {"weights", "sub/more"}
    assert said["files"]["weights"]["size"] == 8
    assert [path.name for path in sealed.parent.iterdir()] == ["model"]
    (sealed / "note").write_text("of the user's")
    assert damage(sealed) is None


@pytest.mark.parametrize(
    ("content", "checksums", "said"),
    [
        (None, True, "sub/more is missing"),
        (b"xy", True, "sub/more has 2 bytes, not 1"),
        (b"y", True, "sub/more holds other bytes than were written"),
        (b"xy", False, "sub/more has 2 bytes, not 1"),
        (b"y", False, None),
    ],
)
def test_damage_is_named(sealed: Path, content: bytes | None, checksums: bool, said: str | None) -> None:
    (sealed / "sub" / "more").unlink()
    if content is not None:
        (sealed / "sub" / "more").write_bytes(content)
    assert damage(sealed, checksums=checksums) == said


@pytest.mark.parametrize("content", ["", "{", "[]", '{"files": 3}', "[" * 100_000])
def test_a_manifest_that_says_nothing_is_none(sealed: Path, content: str) -> None:
    (sealed / MANIFEST).write_text(content)
    assert damage(sealed) == f"it has no readable {MANIFEST}, which is written last"


def test_a_sealed_folder_is_replaced_by_another(sealed: Path) -> None:
    place = stage(sealed)
    (place / "other").write_text("")
    seal(place, sealed)
    assert damage(sealed) is None
    assert not (sealed / "weights").exists()
    assert [path.name for path in sealed.parent.iterdir()] == ["model"]


def test_what_a_stop_leaves_is_cleared_and_the_rest_stays(sealed: Path) -> None:
    folder = sealed.parent
    stage(folder / "checkpoint")
    unfinished(folder / "a.json").write_text("")
    unfinished(sealed / "b").write_text("")
    (folder / ".model.replaced").mkdir()
    (folder / ".hidden").write_text("of the user's")
    clear_unfinished(folder)
    assert {path.name for path in folder.iterdir()} == {"model", ".hidden"}
    assert damage(sealed) is None


def test_what_is_set_aside_is_never_overwritten(tmp_path: Path) -> None:
    places = []
    for content in ("one", "two", "three"):
        (tmp_path / "a").write_text(content)
        places.append(set_aside(tmp_path / "a"))
    assert [place.name for place in places] == ["damaged-a", "damaged-a-2", "damaged-a-3"]
    assert [place.read_text() for place in places] == ["one", "two", "three"]


def test_json_that_is_no_object_is_none(tmp_path: Path) -> None:
    assert read_json(tmp_path / "none") is None
    (tmp_path / "a").write_bytes(b"\xff")
    assert read_json(tmp_path / "a") is None
    (tmp_path / "a").write_text("[1]")
    assert read_json(tmp_path / "a") is None
    (tmp_path / "a").write_text('{"b": 1}')
    assert read_json(tmp_path / "a") == {"b": 1}


def test_faults_of_a_disk_are_told_from_others(tmp_path: Path) -> None:
    def caused() -> None:
        try:
            raise OSError(errno.EDQUOT, "Disk quota exceeded")
        except OSError as error:
            raise ValueError("could not save") from error

    assert storage_fault(OSError(errno.ENOSPC, "No space left on device"), tmp_path) == "No space left on device"
    rust = SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")
    assert storage_fault(rust, tmp_path) == "No space left on device"
    torchs = RuntimeError("[enforce fail at inline_container.cc:858] . PytorchStreamWriter failed writing file data/0")
    assert storage_fault(torchs, tmp_path) == "torch could not write a file; is the disk full?"
    with pytest.raises(ValueError, match="could not save") as caught:
        caused()
    assert storage_fault(caught.value, tmp_path) == "Disk quota exceeded"

    denied = PermissionError(errno.EACCES, "Permission denied", str(tmp_path / "a"))
    assert storage_fault(denied, tmp_path) == f"Permission denied ({tmp_path / 'a'})"
    assert storage_fault(denied, tmp_path / "elsewhere") is None  # somebody's data, not our folder
    assert storage_fault(ValueError("No space left on device"), tmp_path) is None
    assert storage_fault(RuntimeError("mat1 and mat2 shapes cannot be multiplied"), tmp_path) is None


def test_what_torch_says_of_a_full_disk_is_known(tmp_path: Path) -> None:
    """torch writes outside Python; its own words are met here, on the device that is always full."""
    with pytest.raises((RuntimeError, OSError)) as caught:
        torch.save({"a": torch.zeros(1000)}, "/dev/full")
    assert storage_fault(caught.value, tmp_path) is not None
