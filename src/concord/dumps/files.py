"""The files behind a path: which there are, in which order, and what each is by its first bytes."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from concord.core.errors import DumpError
from concord.dumps.formats.base import Kind

_HEAD = 512
_EVALUATION = re.compile(r"(?:^|[/_.-])(?:eval|evals|evaluation|val|validation)(?=[/_.-]|\d|$)")
_STEP_FOLDER = re.compile(r"(?:step|iteration|iter)[_-]?(\d+)")

REFUSED = {
    "pickle": "a pickle: reading one runs whatever code is in it, so it is not read under any name",
    "gzip": "compressed with gzip: unpack it first",
    "array": "one JSON array: write one object a line instead (jq -c '.[]')",
    "UTF-16": "text in UTF-16: save it as UTF-8",
    "half-written Parquet": "a half-written Parquet file: the footer is missing, and with it the columns' places",
    "empty": "empty",
    "unreadable": "not to be opened: it is gone, or permission is missing",
    "unknown": "neither JSON lines, CSV, Parquet nor a PyTorch file",
}
"""What a file may be and cannot be read as, and why."""


def find_files(path: Path, skipped: Counter[str]) -> list[Path]:
    """The regular files at or under a path, in the order of the numbers in their names.

    Symbolic links are not followed, but for the path itself: what lies outside the folder was not
    asked for, and what lies inside is met anyway.

    Args:
        path: a file or a folder.
        skipped: counts what is passed over, by reason.

    Raises:
        DumpError: there is nothing at the path, or it cannot be opened.
    """
    try:
        if path.is_dir():
            return sorted(_walk(path, skipped), key=lambda file: natural(file.relative_to(path).as_posix()))
        if path.is_file():
            return [path]
        exists = path.exists()
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise DumpError(f"{path}: cannot be opened ({error})") from error
    if not exists and path.is_symlink():
        raise DumpError(f"{path}: a symbolic link that leads nowhere")
    raise DumpError(f"{path}: {'neither a file nor a folder' if exists else 'no such file or folder'}")


def _walk(folder: Path, skipped: Counter[str]) -> Iterator[Path]:
    def unreadable(error: OSError) -> None:
        skipped["folder that cannot be opened"] += 1

    for base, folders, names in os.walk(folder, onerror=unreadable):
        hidden = [name for name in (*folders, *names) if name.startswith(".")]
        skipped["hidden file or folder"] += len(hidden)
        links = [name for name in folders if name not in hidden and os.path.islink(os.path.join(base, name))]
        folders[:] = [name for name in folders if name not in hidden and name not in links]
        for name in (*links, *names):
            file = Path(base, name)
            if name in hidden:
                continue
            if file.is_symlink():
                inside = Path(os.path.realpath(file)).is_relative_to(os.path.realpath(folder))
                skipped[f"symbolic link that {'stays in' if inside else 'leaves'} the folder"] += 1
            elif file.is_file():
                yield file
            else:
                skipped["neither a file nor a folder (a pipe, a device)"] += 1
    skipped += Counter()  # drops zeros


def natural(name: str) -> list[tuple[bool, int, str]]:
    """A sort key under which ``step_2`` comes before ``step_10``.

    Example:
        >>> sorted(["10.jsonl", "9.jsonl", "a.jsonl"], key=natural)
        ['9.jsonl', '10.jsonl', 'a.jsonl']
    """
    parts = re.split(r"(\d+)", name)
    return [(not part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in parts if part]


def step_in(path: Path, *, in_name: bool) -> int | None:
    """The step that a path names: the last number of the file's name, else that of a folder such as ``step_7``.

    Args:
        path: of the file.
        in_name: whether the file's own name may hold the step; a number in it may mean anything.

    Example:
        >>> step_in(Path("train_data_step12.jsonl"), in_name=True)
        12
        >>> step_in(Path("global_step_40_evals/gsm8k.jsonl"), in_name=False)
        40
    """
    if in_name and (numbers := re.findall(r"\d+", path.stem)):
        return int(numbers[-1])
    for parent in path.parents[:5]:
        if match := _STEP_FOLDER.search(parent.name):
            return int(match[1])
    return None


def is_evaluation(name: str) -> bool:
    """Whether a path inside a folder names evaluation rollouts.

    Example:
        >>> is_evaluation("eval_3.pt"), is_evaluation("a/val_data_step3.jsonl"), is_evaluation("evaluate_me.jsonl")
        (True, True, False)
    """
    return _EVALUATION.search(name) is not None


def kind_of(path: Path) -> Kind | str:
    """What a file is by its content: a container that is read, or a key of ``REFUSED``."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
            file.seek(max(0, file.seek(0, os.SEEK_END) - 4))
            tail = file.read(4)
    except OSError:
        return "unreadable"
    if head.startswith(b"PAR1"):
        return "Parquet" if tail == b"PAR1" and len(head) >= 12 else "half-written Parquet"
    if head.startswith(b"PK\x03\x04"):
        return "PyTorch"
    if head.startswith(b"\x80") and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return "pickle"
    if head.startswith(b"\x1f\x8b"):
        return "gzip"
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "UTF-16"
    return _text_kind(head.removeprefix(b"\xef\xbb\xbf"))


def size_of(path: Path) -> int:
    """Bytes; 0 for a file that is gone."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _text_kind(head: bytes) -> Kind | str:
    start = head.lstrip()
    if not start:
        return "empty" if len(head) < _HEAD else "unknown"
    if start.startswith(b"{"):
        return "JSON lines"
    if start.startswith(b"["):
        return "array"
    first = start.decode("utf-8", "replace").splitlines()[0]
    is_text = all(mark.isprintable() or mark == "\t" for mark in first)
    return "CSV" if is_text and any(mark in first for mark in ",\t;") else "unknown"
