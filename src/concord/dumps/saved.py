"""Records from a file of ``torch.save``, without running what is in it."""

from __future__ import annotations

import pickle
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from concord.dumps.formats.base import FILE_STEP
from concord.dumps.meter import Meter
from concord.dumps.values import text


def saved_samples(path: Path, skipped: Counter[str], meter: Meter) -> Iterator[dict[str, Any] | None]:
    """The dicts in ``{"samples": [...], "rollout_id": step}``. The file is in memory as a whole.

    Only with ``weights_only=True``: a file that holds more than tensors, numbers, texts, lists and
    dicts is not read, and is counted in ``skipped``.
    """
    try:
        with path.open("rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that an archive of TorchScript is one; it is refused below
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
    for sample in samples:
        if isinstance(sample, dict):
            yield {**{text(name): value for name, value in sample.items()}, FILE_STEP: payload.get("rollout_id")}
        else:
            skipped["sample that is no dict"] += 1
            yield None
    meter.close()
