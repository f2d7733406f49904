"""Which of a folder's checkpoints are complete, and which is the last."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from concord.core.durable import damage, manifest, set_aside


@dataclass(frozen=True)
class Checkpoint:
    """A complete checkpoint, from which training goes on.

    Attributes:
        path: its folder.
        step: optimisation steps that had been taken.
        max_steps: of the training.
    """

    path: Path
    step: int
    max_steps: int

    @property
    def at_end(self) -> bool:
        """Whether no step is left to take."""
        return self.step >= self.max_steps


def last_complete(folder: Path, *, checksums: bool = True) -> tuple[Checkpoint | None, dict[Path, str]]:
    """Find the newest complete checkpoint of a folder.

    Args:
        folder: of a run.
        checksums: read every byte of it; else sizes only.

    Returns:
        The checkpoint, or None; and by path what is wrong with each newer one. Checkpoints that hold the model alone
        (``save_only_model``) are passed over.
    """
    damaged: dict[Path, str] = {}
    for path in _newest_first(folder):
        said = damage(path, checksums=checksums)
        if said is not None:
            damaged[path] = said
        elif (found := _read(path)) is not None:
            return found, damaged
    return None, damaged


def set_damaged_aside(damaged: dict[Path, str]) -> list[str]:
    """Rename what is damaged; one line each that says what, why, and where it is now."""
    return [f"{path.name} is damaged: {why}; set aside as {set_aside(path).name}" for path, why in damaged.items()]


def _newest_first(folder: Path) -> list[Path]:
    from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

    numbered = [(path.name.removeprefix(f"{PREFIX_CHECKPOINT_DIR}-"), path) for path in folder.glob("*/")]
    return [path for _, path in sorted(((int(n), p) for n, p in numbered if n.isdecimal()), reverse=True)]


def _read(path: Path) -> Checkpoint | None:
    said = manifest(path) or {}
    return Checkpoint(path, int(said["step"]), int(said["max_steps"])) if said.get("resumable") else None
