"""tinker-cookbook's ``iteration_{N:06d}/{name}_rollout_summaries.jsonl``: one object a trajectory, no texts.

split, iteration, group_idx, traj_idx, total_reward, final_reward, trajectory_metrics, and steps, each
with reward, ac_len and metrics. A metric of the environment ("correct", "format") is averaged over the
steps that report it, as the cookbook's own log does.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from concord.dumps.formats.base import Format, Record, Rollout, has, step_of
from concord.dumps.values import is_number, number, text


def _rollouts(record: Record) -> Iterator[Rollout]:
    steps = record["steps"]
    yield Rollout(
        values={
            **_means(steps),
            **(record.get("trajectory_metrics") or {}),
            "total_reward": record["total_reward"],
            "final_reward": record.get("final_reward"),
        },
        group=(text(record.get("split")), text(record["group_idx"])),
        step=step_of(record["iteration"]),
        length=sum(step["ac_len"] for step in steps),
    )


def _means(steps: list[Any]) -> dict[str, float]:
    found: dict[str, list[float]] = {}
    for step in steps:
        for name, value in (step.get("metrics") or {}).items():
            if is_number(value):
                found.setdefault(name, []).append(number(value))
    return {name: sum(values) / len(values) for name, values in found.items()}


FORMAT = Format(
    name="tinker-cookbook",
    kinds=("JSON lines",),
    fits=has("group_idx", "traj_idx", "total_reward", "iteration", "steps"),
    rollouts=_rollouts,
    totals=("total_reward", "final_reward"),
    grouping="group_idx",
    components=(
        "component rewards: return them as metrics of Env.step, or beside the reward from "
        "EnvGroupBuilder.compute_group_rewards; the summaries keep both"
    ),
    lacks=(
        "texts: they are only in the *_logtree.json and .html reports",
        "advantages and weights: the cookbook does not write them; a metric may be no reward, name the rewards",
    ),
)
