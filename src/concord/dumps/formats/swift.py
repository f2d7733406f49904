"""ms-swift's ``completions.jsonl`` with ``log_completions``: one object of lists a logging step.

``GRPOTrainer`` writes step (as text), prompt, completion, one list a reward function, advantages and
whatever else it logs; the Megatron trainer calls the step gen_step. The Ray trainer writes one
object a rollout, with gen_step and the total only. Like TRL's, a batch is logged again until the
next one is generated.
"""

from __future__ import annotations

from collections.abc import Iterator

from concord.dumps.formats.base import Format, Record, Rollout, explode, step_of
from concord.dumps.values import text

_STEPS = ("step", "gen_step")


def _fits(record: Record) -> bool:
    if not {"prompt", "completion"} <= record.keys() or not any(name in record for name in _STEPS):
        return False
    return isinstance(record["completion"], list) if "step" in record else isinstance(record["prompt"], list | str)


def _rollouts(record: Record) -> Iterator[Rollout | str]:
    for row in explode(record, "completion") if isinstance(record["completion"], list) else (record,):
        if isinstance(row, str):
            yield row
            continue
        step = row["step"] if "step" in row else row["gen_step"]
        yield Rollout(
            values=row,
            prompt=text(row["prompt"]),
            completion=text(row["completion"]),
            step=step_of(step),
            advantage=row.get("advantages"),
        )


FORMAT = Format(
    name="ms-swift",
    kinds=("JSON lines",),
    fits=_fits,
    rollouts=_rollouts,
    totals=("reward",),
    others=frozenset({"step", "gen_step", "prompt", "completion", "advantages", "entropy", "solution", "num_turns"}),
    floats_only=True,
    consecutive=True,
    repeats=True,
    components=(
        "component rewards: the Ray trainer writes only the total. swift rlhf --rlhf_type grpo --log_completions true "
        "without Ray writes each reward function"
    ),
    lacks=("reward weights: completions.jsonl does not hold --reward_weights; name them with --weights",),
)
