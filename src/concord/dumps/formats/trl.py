"""TRL's table of completions: ``completions/completions_{step:05d}.parquet`` with ``log_completions=True``.

Written by ``GRPOTrainer.log`` (TRL 1.16): step, prompt, completion, one float column a reward
function, whatever ``log_extra`` added, advantage. None is stored as NaN. The trainer keeps the last
generation batch and logs it again at each logging step until it generates anew.
"""

from __future__ import annotations

from collections.abc import Iterator

from concord.dumps.formats.base import Format, Record, Rollout, has, step_of
from concord.dumps.values import text


def _rollouts(record: Record) -> Iterator[Rollout]:
    yield Rollout(
        values=record,
        prompt=text(record["prompt"]),
        completion=text(record["completion"]),
        step=step_of(record["step"]),
        advantage=record["advantage"],
    )


FORMAT = Format(
    name="trl",
    kinds=("Parquet",),
    fits=has("step", "prompt", "completion", "advantage"),
    rollouts=_rollouts,
    others=frozenset({"step", "prompt", "completion", "advantage"}),
    floats_only=True,
    consecutive=True,
    repeats=True,
    lacks=("reward weights: TRL's table does not hold GRPOConfig.reward_weights; name them with --weights",),
)
