"""Where a run stands, read from its folder, and the one way on from there.

A run goes through these states. An arrow is one rename, so a stop at any instant leaves one of them::

    FREE ──> OPENING ──> OPENED ──> STARTED ──> CHECKPOINTED ──> TRAINED ──> FINISHED
     no      folder      config     rollouts    a complete       the model   evaluation of
     folder  or less     .yaml      of a step   checkpoint       is whole    the trained policy

Beside them: FOREIGN, a folder with other things in it. The ways on:

============  ==========================================  =======================================================
state         ``concord train``                           ``--resume``
============  ==========================================  =======================================================
FREE          starts the run                              is refused: there is nothing to resume
OPENING       starts the run                              the same
OPENED        starts over, with another configuration     starts over
              too: nothing has been trained
STARTED       is refused, and says ``--resume``           trains from step 0: the rollouts are written again
CHECKPOINTED  is refused, and says ``--resume``           trains the steps after the last complete checkpoint; if
                                                          that is at the end, saves the model and trains no step
TRAINED       is refused, and says ``--resume``           evaluates the policy
FINISHED      is refused                                  does nothing, and says so
FOREIGN       is refused                                  is refused
============  ==========================================  =======================================================

What is damaged (a file is missing, is shorter, or holds other bytes than its manifest says) counts as absent: the
state is the one before. It is renamed to ``damaged-...`` and said. Reading a state changes nothing; the writer does
that, under the folder's lock (:mod:`concord.core.lock`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from concord.core.durable import UNFINISHED, clear_unfinished, damage, read_json
from concord.core.lock import LOCK
from concord.engines.complete import Checkpoint, last_complete, set_damaged_aside
from concord.run.evaluate import read_evaluations

CONFIG, FACTS = "config.yaml", "run.json"
MODEL, ROLLOUTS, CURVES, METRICS, EVALUATION = "model", "rollouts", "curves.png", "metrics.jsonl", "evaluation.json"
FAILURES = "reward_failures.jsonl"
"""What a run folder holds."""


class State(StrEnum):
    """How far a run has come; see the drawing above."""

    FREE = "free"
    OPENING = "opening"
    OPENED = "opened"
    STARTED = "started"
    CHECKPOINTED = "checkpointed"
    TRAINED = "trained"
    FINISHED = "finished"
    FOREIGN = "foreign"


@dataclass(frozen=True)
class Standing:
    """Where a run stands.

    Attributes:
        folder: of the run.
        state: how far it has come.
        checkpoint: the last complete one, while the run is short of its model.
        damaged: by path, what is wrong with what is not as it was written.
    """

    folder: Path
    state: State
    checkpoint: Checkpoint | None = None
    damaged: dict[Path, str] = field(default_factory=dict)

    @property
    def fresh(self) -> bool:
        """Whether nothing has been trained, so that a run may start here."""
        return self.state in (State.FREE, State.OPENING, State.OPENED)

    def sentence(self) -> str:
        """Say where the run stands and what ``--resume`` does about it.

        Example:
            >>> Standing(Path("runs/a"), State.TRAINED).sentence()
            'The policy is trained; --resume evaluates it'
        """
        if self.checkpoint is not None:
            step, last = self.checkpoint.step, self.checkpoint.max_steps
            if self.checkpoint.at_end:
                return f"All {last} steps are taken; --resume saves the model"
            return f"It stands at step {step} of {last}; --resume goes on from there"
        return {
            State.OPENED: "Nothing has been trained; --resume starts",
            State.STARTED: "It has no complete checkpoint; --resume starts over from step 0",
            State.TRAINED: "The policy is trained; --resume evaluates it",
            State.FINISHED: "It is finished",
        }.get(self.state, "Nothing has been written")


def standing(folder: Path, *, evaluated: bool, checksums: bool = True) -> Standing:
    """Read where a run stands.

    Args:
        folder: of the run.
        evaluated: the run ends with an evaluation.
        checksums: read every byte of the model or the last checkpoint; else sizes only.
    """
    if not (folder / CONFIG).is_file():
        return Standing(folder, _before_config(folder))
    found = training(folder, checksums=checksums)
    evaluations = read_evaluations(folder / EVALUATION)
    damaged = dict(found.damaged)
    if evaluations is None:
        damaged[folder / EVALUATION] = "it does not hold evaluations"
    if found.state is State.TRAINED and (not evaluated or "trained" in (evaluations or {})):
        return Standing(folder, State.FINISHED, None, damaged)
    return Standing(folder, found.state, found.checkpoint, damaged)


def training(folder: Path, *, checksums: bool = True) -> Standing:
    """Read how far training has come in a folder of checkpoints and a model: OPENED to TRAINED."""
    damaged = {}
    if (folder / MODEL).exists():
        said = damage(folder / MODEL, checksums=checksums)
        if said is None:
            return Standing(folder, State.TRAINED)
        damaged[folder / MODEL] = said
    checkpoint, torn = last_complete(folder, checksums=checksums)
    damaged |= torn
    if checkpoint is not None:
        return Standing(folder, State.CHECKPOINTED, checkpoint, damaged)
    begun = damaged or any((folder / ROLLOUTS).glob("*.parquet"))
    return Standing(folder, State.STARTED if begun else State.OPENED, None, damaged)


def recover(found: Standing) -> list[str]:
    """Set aside what is damaged and remove what is unfinished; one line for each that was damaged.

    Whoever calls this holds the folder's lock.
    """
    clear_unfinished(found.folder)
    return set_damaged_aside(found.damaged)


def _before_config(folder: Path) -> State:
    if not folder.exists():
        return State.FREE
    ours = all(_is_leaving(path) for path in folder.iterdir())
    return State.OPENING if ours else State.FOREIGN


def _is_leaving(path: Path) -> bool:
    """Whether a start that was stopped before ``config.yaml`` can have left this."""
    if path.name == FACTS:
        return {"seed", "versions"} <= (read_json(path) or {}).keys()
    empty = path.is_dir() and not any(path.iterdir())  # a trainer makes folders before it trains
    return empty or path.name == LOCK or path.name.endswith(UNFINISHED)
