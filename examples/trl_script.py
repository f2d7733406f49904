"""A TRL script moved to Concord: what changed is marked.

    python examples/trl_script.py [STEPS]

Short sums under three rewards, with a model of 0.12 M parameters that ships. It writes ``runs/trl_script``.
"""

from __future__ import annotations

import sys
from typing import Any

from datasets import Dataset

from concord.engines.trl import ConcordConfig, ConcordTrainer  # was: from trl import GRPOConfig, GRPOTrainer
from concord.recipes import arithmetic_task
from concord.rewards import NamedReward  # for a reward with a condition, a schedule or a limit of time

Messages = list[dict[str, Any]]


def text(completion: Messages) -> str:
    return completion[-1]["content"] or ""


def right(completions: list[Messages], answer: list[str], **_: Any) -> list[float]:
    """1 where the last line is that of the answer."""
    return [float(text(c).split("\n")[-1] == a.split("\n")[-1]) for c, a in zip(completions, answer, strict=True)]


def brief(completions: list[Messages], **_: Any) -> list[float]:
    """1 for nothing at all, falling to 0 at 60 characters."""
    return [max(0.0, 1 - len(text(c)) / 60) for c in completions]


def working(completions: list[Messages], **_: Any) -> list[float]:
    """1 where a step is shown before the answer."""
    return [float(" = " in text(c)) for c in completions]


def main(steps: int) -> None:
    trainer = ConcordTrainer(  # was: GRPOTrainer
        model=str(arithmetic_task.base_model_path()),
        # brief was a plain function, too; it opposes the others unless it counts among right answers only
        reward_funcs=[right, NamedReward("brief", brief, when="right >= 1"), working],
        args=ConcordConfig(  # was: GRPOConfig
            method="gd2po",
            method_args={"tau": 0.8},
            dump="runs/trl_script/rollouts",  # every rollout with its scores, for `concord diagnose`
            output_dir="runs/trl_script",
            num_generations=8,
            per_device_train_batch_size=64,
            max_completion_length=48,
            learning_rate=3e-4,
            max_steps=steps,
            use_cpu=True,
            logging_steps=1,
            save_strategy="no",
            report_to="none",
        ),
        train_dataset=Dataset.from_list(arithmetic_task.rows("train", 256, 0)),
    )
    trainer.train()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
