"""Checkpoints and models that are whole or absent, for any trainer of transformers and TRL.

A checkpoint is written under another name and gets its own with everything in it
(:mod:`concord.core.durable`). Older ones are deleted only then, so there is always one to go on from.
"""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import Any

from transformers import Trainer
from transformers.trainer import TRAINER_STATE_NAME, TRAINING_ARGS_NAME
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR, rotate_checkpoints

from concord.core.durable import PRIVATE, damage, manifest, read_json, seal, stage, unfinished, write_whole
from concord.core.errors import RunFolderError
from concord.engines.complete import Checkpoint, last_complete, set_damaged_aside

_log = logging.getLogger(__name__)
_CARD = "README.md"


class WholeCheckpoints(Trainer):  # type: ignore[misc]
    """What a trainer adds to be stopped at any instant; stands before TRL's trainer among the bases.

    With several processes the run folder is on a disk that all of them see, or ``save_on_each_node`` is set.
    """

    _staging: Path | None = None
    """Where a checkpoint is being written."""

    _resumed = 0
    """The optimisation step that training resumes from."""

    _total_train_tokens: int | None = None
    """Those of the metric ``num_tokens``, in trainers that count them; TRL does not keep the count."""

    def train(self, resume_from_checkpoint: str | bool | None = None, *more: Any, **options: Any) -> Any:
        """Train; with a checkpoint of which no step is left, take its state over and train no step.

        Args:
            resume_from_checkpoint: a checkpoint; or True for the last complete one of the output folder, where damaged
                ones are set aside (renamed) and said.
            more, options: as of the trainer.

        Raises:
            RunFolderError: there is no complete checkpoint, or the one that is named is damaged.
        """
        if resume_from_checkpoint is True:
            resume_from_checkpoint = str(self._last_complete().path)
        elif resume_from_checkpoint:
            self._check_whole(Path(resume_from_checkpoint))
        self._resumed = _step_of(Path(resume_from_checkpoint)) if resume_from_checkpoint else 0
        if resume_from_checkpoint and self._total_train_tokens is not None:
            self._total_train_tokens = (manifest(Path(resume_from_checkpoint)) or {}).get("tokens") or 0
        output = super().train(resume_from_checkpoint or None, *more, **options)
        if self.state.global_step == self._initial_global_step and self.state.log_history:
            self.state.log_history.pop()  # the summary of a training without a step
        return output

    def _last_complete(self) -> Checkpoint:
        folder = Path(self.args.output_dir)
        if self.args.should_save:
            for line in set_damaged_aside(last_complete(folder)[1]):
                _log.warning("%s: %s", folder, line)
        self.accelerator.wait_for_everyone()
        found, _ = last_complete(folder, checksums=False)
        if found is None:
            raise RunFolderError(f"no complete checkpoint in {folder}; start without resuming")
        return found

    def _check_whole(self, path: Path) -> None:
        if manifest(path) is None:
            _log.warning("%s was not written by Concord: whether all of it is there is not known", path)
        elif said := damage(path, checksums=False):
            raise RunFolderError(f"{path} is damaged: {said}; resume from another")

    def _run_epoch(self, *args: Any, **options: Any) -> None:
        # transformers looks whether training is over after a step, not before it.
        if self.state.global_step >= self.state.max_steps:
            self.control.should_training_stop = True
            return
        super()._run_epoch(*args, **options)

    # ---- Checkpoints ----

    def _get_output_dir(self, trial: Any) -> str:
        return str(super()._get_output_dir(trial) if self._staging is None else self._staging)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        out, name = Path(self._get_output_dir(trial)), f"{PREFIX_CHECKPOINT_DIR}-{self.state.global_step}"
        staging = unfinished(out / PREFIX_CHECKPOINT_DIR)
        if self.args.should_save:
            stage(out / PREFIX_CHECKPOINT_DIR)
        self.accelerator.wait_for_everyone()
        self._staging = staging
        try:
            super()._save_checkpoint(model, trial)
            self.accelerator.wait_for_everyone()
            if self.args.should_save:
                self._correct_best(staging, out)
                _restrict(staging / name)
                seal(staging / name, out / name, self._said_of_it())
        finally:
            self._staging = None
            if self.args.should_save:
                shutil.rmtree(staging, ignore_errors=True)
        self.accelerator.wait_for_everyone()
        if self.args.should_save:
            limit, best = self.args.save_total_limit, self.state.best_model_checkpoint
            rotate_checkpoints(str(out), save_total_limit=limit, best_model_checkpoint=best, use_mtime=True)
        if self.args.push_to_hub:
            super()._push_from_checkpoint(str(out / name))

    def _said_of_it(self) -> dict[str, Any]:
        """What a checkpoint's manifest says beside its files."""
        return {
            "step": self.state.global_step,
            "max_steps": self.state.max_steps,
            "resumable": not self.args.save_only_model,
            "tokens": self._total_train_tokens,
        }

    def _correct_best(self, staging: Path, out: Path) -> None:
        """Say of the best checkpoint, if it is this one, where it will be."""
        best = self.state.best_model_checkpoint
        if best is not None and Path(best).parent == staging:
            self.state.best_model_checkpoint = str(out / Path(best).name)
            self.state.save_to_json(str(Path(best, TRAINER_STATE_NAME)))

    def _push_from_checkpoint(self, checkpoint_folder: str) -> None:
        """Nothing: a checkpoint is uploaded in the background, once it is in its place."""

    def create_model_card(self, *args: Any, **options: Any) -> None:
        """Write TRL's model card, as a whole."""
        if not self.is_world_process_zero():
            return
        out, place = self.args.output_dir, stage(Path(self.args.output_dir, "card"))
        self.args.output_dir = str(place)
        try:
            super().create_model_card(*args, **options)
            write_whole(Path(out, _CARD), (place / _CARD).read_bytes())
        finally:
            self.args.output_dir = out
            shutil.rmtree(place, ignore_errors=True)

    # ---- The final model ----

    def save_whole(self, folder: Path) -> None:
        """Save the model so that ``folder`` holds all of it or does not exist."""
        if self.args.should_save:
            stage(folder)
        self.accelerator.wait_for_everyone()
        self._fill(unfinished(folder))
        self.accelerator.wait_for_everyone()
        if self.args.should_save:
            _restrict(unfinished(folder))
            seal(unfinished(folder), folder, {"step": self.state.global_step})
        self.accelerator.wait_for_everyone()
        if self.args.push_to_hub:
            self.push_to_hub(commit_message="Model save", revision=self.args.hub_revision)

    def _fill(self, folder: Path) -> None:
        """Write the files of the final model; every process calls this."""
        if (tokenizer := getattr(self.processing_class, "backend_tokenizer", None)) is not None:
            # Whether the last call padded would stand in its file.
            tokenizer.no_padding()
            tokenizer.no_truncation()
        self.save_model(str(folder), _internal_call=True)

    def take_weights(self, folder: Path) -> None:
        """Load the weights of a model that :meth:`save_whole` has saved."""
        self._load_from_checkpoint(str(folder))


def _step_of(checkpoint: Path) -> int:
    state = read_json(checkpoint / TRAINER_STATE_NAME)
    if state is None or "global_step" not in state:
        raise RunFolderError(f"{checkpoint} holds no {TRAINER_STATE_NAME} that can be read; resume from another")
    return int(state["global_step"])


def _restrict(folder: Path) -> None:
    """Keep the training arguments, which may hold a token, to their owner."""
    if (path := folder / TRAINING_ARGS_NAME).exists():
        path.chmod(PRIVATE)
