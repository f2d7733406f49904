"""Records from a file of ``torch.save``, without running what is in it."""

from __future__ import annotations

import pickle
import re
import warnings
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from concord.dumps.files import size_of
from concord.dumps.formats.base import FILE_STEP
from concord.dumps.meter import BEYOND, Allowance, Meter
from concord.dumps.values import text

LARGEST_TENSOR = 4096
"""Numbers of a tensor that are read; a larger one holds tokens, which nothing here needs."""

_SCALARS = {bool, int, float, type(None)}
_EMPTY_BYTES = re.compile(rb"c(?:builtins|__builtin__)\nbytearray\n")
"""The one call that ``weights_only`` allows which fills memory that the file does not."""


def saved_samples(path: Path, skipped: Counter[str], meter: Meter) -> Iterator[dict[str, Any] | None]:
    """The dicts in ``{"samples": [...], "rollout_id": step}``. The file is in memory as a whole.

    Only with ``weights_only=True``: a file that holds more than tensors, numbers, texts, lists and
    dicts is not read, and is counted in ``skipped``. So is one that unpacks to more than it holds:
    ``torch.save`` does not compress.
    """
    try:
        with path.open("rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that an archive of TorchScript is one; it is refused below
            if _unfolds(file, size_of(path)):
                skipped["PyTorch file that unpacks to more than it holds"] += 1
                return
            # Of an open file, as torch.load goes by the ending of a name.
            payload = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        skipped["PyTorch file that needs code to be run (torch.load with weights_only=True refuses it)"] += 1
        return
    except Exception:  # a damaged file makes torch raise nearly anything, AssertionError and struct.error too
        skipped["PyTorch file that cannot be read"] += 1
        return
    samples = payload.get("samples") if isinstance(payload, dict) else None
    if not isinstance(samples, list):
        skipped["PyTorch file without a list of samples"] += 1
        return
    allowance = Allowance(size_of(path))
    try:
        step = _plain(payload.get("rollout_id"), allowance)
    except (_TooMuch, RecursionError):
        step = "not to be read"
    for number, sample in enumerate(samples):
        if not isinstance(sample, dict):
            skipped["sample that is no dict"] += 1
            yield None
            continue
        try:
            record = _plain(sample, allowance)
        except RecursionError:
            skipped["sample nested too deeply"] += 1
            yield None
            continue
        except _TooMuch:
            skipped[f"sample {BEYOND}"] += len(samples) - number
            break
        yield {**record, FILE_STEP: step}
    meter.close()


class _TooMuch(Exception):
    """The file's allowance is used up."""


def _unfolds(file: BinaryIO, size: int) -> bool:
    """Whether an archive's entries are larger than the file, or its pickle asks for memory that it does not fill."""
    with zipfile.ZipFile(file) as archive:
        if sum(entry.file_size for entry in archive.infolist()) > size:
            return True
        pickles = [entry for entry in archive.infolist() if entry.filename.endswith("data.pkl")]
        found = any(_EMPTY_BYTES.search(archive.read(entry)) for entry in pickles)
    file.seek(0)
    return found


def _plain(value: Any, allowance: Allowance) -> Any:
    """A value as JSON could hold it: a pickle may hold one object in many places, tensors, and any key.

    Raises:
        _TooMuch: more comes out than the file may stand for.
    """
    if type(value) in _SCALARS:
        return value
    size = len(value) if isinstance(value, str | list | tuple | dict | set) else 1
    if not allowance.spend(*(1, size) if isinstance(value, str) else (size, 0)):
        raise _TooMuch
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        return {_key(key): _plain(item, allowance) for key, item in value.items()}
    if isinstance(value, list | tuple | set):
        return list(value) if set(map(type, value)) <= _SCALARS else [_plain(item, allowance) for item in value]
    return _numbers(value) if isinstance(value, Tensor) else f"<{type(value).__name__}>"


def _key(key: Any) -> str:
    return text(key) if type(key) in _SCALARS or isinstance(key, str) else f"<{type(key).__name__}>"


def _numbers(tensor: Tensor) -> Any:
    """A tensor of one number as that number, a small one as a list; what else it may be, as a text that is none."""
    try:
        if tensor.numel() == 1:
            return tensor.item()
        if tensor.numel() <= LARGEST_TENSOR:
            return tensor.tolist()
    except Exception:  # without data (meta), or of a kind that has no numbers of its own
        return "<tensor that cannot be read>"
    return "<large tensor>"
