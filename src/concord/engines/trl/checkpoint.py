"""Which of a run's checkpoints are whole."""

from __future__ import annotations

import json
from pathlib import Path

from transformers.trainer import TRAINER_STATE_NAME
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from concord.core.errors import RunFolderError


def last_complete(folder: str) -> str:
    """The newest checkpoint that was written to its end; a killed run may leave a torn one behind it.

    Raises:
        RunFolderError: there is none.
    """
    found = sorted(
        Path(folder).glob(f"{PREFIX_CHECKPOINT_DIR}-*"), key=lambda path: path.name.rpartition("-")[2].zfill(12)
    )
    for path in reversed(found):
        if step_of(str(path)) is not None:
            return str(path)
    raise RunFolderError(f"no complete checkpoint in {folder} ({len(found)} torn); start without resuming")


def step_of(checkpoint: str) -> int | None:
    """The step at which a checkpoint was written; None if it is torn. The trainer's state comes last."""
    try:
        state = json.loads(Path(checkpoint, TRAINER_STATE_NAME).read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    return int(state["global_step"])
